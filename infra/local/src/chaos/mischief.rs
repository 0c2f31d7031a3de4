//! What the proxies do to a request that a fault waited for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::proxy::{Answer, Cut, Shared, Whole};
use super::schedule::{Mischief, Way};

/// How long a request waits for another to overtake it.
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Longer than the senders wait: the functions' budget is 25 seconds.
const WITHHELD: Duration = Duration::from_secs(40);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-firehose-request-id");

/// Does it, and gives the answer that the sender gets.
pub(super) async fn commit(shared: &Arc<Shared>, request: Whole, mischief: Mischief) -> Result<Answer, Cut> {
    match mischief {
        Mischief::Refuse { status, code } => Ok(refusal(shared.way, &request, status, code)),
        Mischief::Delay { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            shared.pass(&request).await
        }
        Mischief::LoseAnswer => {
            let _lost = shared.pass(&request).await;
            Err(Cut)
        }
        Mischief::Withhold => {
            let _late = shared.pass(&request).await;
            tokio::time::sleep(WITHHELD).await;
            Err(Cut)
        }
        Mischief::Cut => {
            shared.pass_half(&request).await;
            Err(Cut)
        }
        Mischief::Twice => {
            let _first = shared.pass(&request).await;
            shared.pass(&request).await
        }
        Mischief::TwiceAtOnce => {
            let (_one, other) = tokio::join!(shared.pass(&request), shared.pass(&request));
            other
        }
        Mischief::Late { ms } => {
            let (again, later) = (Arc::clone(shared), request.clone());
            let busy = shared.begin();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                let _twice = again.pass(&later).await;
                drop(busy);
            });
            shared.pass(&request).await
        }
        Mischief::OtherId => {
            if let Some(other) = under_another_id(&request) {
                let _first = shared.pass(&other).await;
            }
            shared.pass(&request).await
        }
        Mischief::Hold => {
            // Whatever is passed on meanwhile has overtaken it.
            let _ = tokio::time::timeout(OVERTAKEN_WITHIN, shared.passed.notified()).await;
            shared.pass(&request).await
        }
        Mischief::Partial { percent, seed } => partly(shared, request, percent, seed).await,
        Mischief::End { victim, how, after_ms } => {
            let end = async {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                let _ = shared.orders.send((victim, how));
            };
            tokio::join!(shared.pass(&request), end).0
        }
    }
}

/// The answer of a part that refuses, in that part's own shape.
fn refusal(way: Way, request: &Whole, status: u16, code: u16) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut headers = HeaderMap::new();
    let (content_type, body) = match way {
        Way::Firehose => (
            "application/x-amz-json-1.1",
            json!({ "__type": "ServiceUnavailableException", "message": "Slow down." }).to_string(),
        ),
        Way::Loader => {
            let id = request.head.headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
            let body = json!({ "requestId": id.unwrap_or_default(), "timestamp": 0, "errorMessage": "refused" });
            ("application/json", body.to_string())
        }
        Way::Clickhouse => {
            headers.insert("x-clickhouse-exception-code", HeaderValue::from(code));
            let text = format!("Code: {code}. DB::Exception: not now. (version 26.7)\n");
            ("text/plain; charset=UTF-8", text)
        }
        Way::Events => ("text/plain", "Internal Server Error".to_owned()),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    Answer {
        status,
        headers,
        body: body.into(),
    }
}

/// The same records as a delivery of their own. `None` when it is no delivery.
fn under_another_id(request: &Whole) -> Option<Whole> {
    let mut body: Value = serde_json::from_slice(&request.body).ok()?;
    let id = Uuid::new_v4().to_string();
    *body.get_mut("requestId")? = id.clone().into();
    let mut other = request.clone();
    other.head.headers.insert(REQUEST_ID, HeaderValue::try_from(id).ok()?);
    other.body = body.to_string().into();
    Some(other)
}

/// Passes some of the records on and answers for the others that they were refused, which is the truth.
async fn partly(shared: &Arc<Shared>, request: Whole, percent: u32, seed: u64) -> Result<Answer, Cut> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    // Each request of the fault has a draw of its own, or an attempt more would be refused like the one before.
    random.set_stream(shared.next_draw());
    let Some((kept, refused)) = split(&request.body, || random.random_range(0..100) < percent) else {
        return shared.pass(&request).await;
    };
    let answer = match kept {
        None => None,
        Some(kept) => {
            let answer = shared.pass(&Whole { body: kept, ..request }).await?;
            if answer.status != StatusCode::OK {
                return Ok(answer);
            }
            Some(answer)
        }
    };
    let body = merge(answer.as_ref().map(|answer| &answer.body), &refused).ok_or(Cut)?;
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-amz-json-1.1"),
    );
    Ok(Answer {
        status: StatusCode::OK,
        headers,
        body,
    })
}

/// A put without the records that are refused (`None` when all are), and which these are. `None` for what is no put.
fn split(body: &Bytes, mut refuses: impl FnMut() -> bool) -> Option<(Option<Bytes>, Vec<bool>)> {
    let mut put: Value = serde_json::from_slice(body).ok()?;
    let records = put.get_mut("Records")?.as_array_mut()?;
    let refused: Vec<bool> = records.iter().map(|_| refuses()).collect();
    let mut flags = refused.iter();
    records.retain(|_| flags.next() == Some(&false));
    let kept = (!records.is_empty()).then(|| Bytes::from(put.to_string()));
    Some((kept, refused))
}

/// The answer to the whole put: Firehose's entries in their places, an error in the others.
fn merge(answer: Option<&Bytes>, refused: &[bool]) -> Option<Bytes> {
    let mut failed = refused.iter().filter(|refused| **refused).count() as u64;
    let mut stored = Vec::new();
    if let Some(answer) = answer {
        let mut answer: Value = serde_json::from_slice(answer).ok()?;
        failed += answer.get("FailedPutCount")?.as_u64()?;
        stored = std::mem::take(answer.get_mut("RequestResponses")?.as_array_mut()?);
    }
    let mut stored = stored.into_iter();
    let entries: Option<Vec<Value>> = refused
        .iter()
        .map(|refused| match refused {
            true => Some(json!({ "ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down." })),
            false => stored.next(),
        })
        .collect();
    let merged = json!({ "FailedPutCount": failed, "Encrypted": false, "RequestResponses": entries? });
    Some(merged.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_put_that_is_taken_in_part_says_which_records_were_not() {
        let put =
            Bytes::from(r#"{"DeliveryStreamName":"s","Records":[{"Data":"YQ=="},{"Data":"Yg=="},{"Data":"Yw=="}]}"#);
        let mut flags = [true, false, true].into_iter();
        let (kept, refused) = split(&put, || flags.next().unwrap()).unwrap();
        let kept: Value = serde_json::from_slice(&kept.unwrap()).unwrap();
        assert_eq!(kept["Records"], json!([{ "Data": "Yg==" }]));
        let answer = Bytes::from(r#"{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[{"RecordId":"1"}]}"#);
        let merged: Value = serde_json::from_slice(&merge(Some(&answer), &refused).unwrap()).unwrap();
        assert_eq!(merged["FailedPutCount"], 2);
        assert_eq!(merged["RequestResponses"][1], json!({ "RecordId": "1" }));
        assert_eq!(
            merged["RequestResponses"][2]["ErrorCode"],
            "ServiceUnavailableException"
        );
        // An answer that does not speak of every record is none.
        assert_eq!(merge(Some(&answer), &[false, false]), None);

        let (kept, refused) = split(&put, || true).unwrap();
        assert_eq!(kept, None);
        let merged: Value = serde_json::from_slice(&merge(None, &refused).unwrap()).unwrap();
        assert_eq!(merged["FailedPutCount"], 3);
        assert!(split(&Bytes::from("{}"), || true).is_none());
    }

    #[test]
    fn another_id_keeps_the_records() {
        let (head, ()) = http::Request::builder()
            .header(REQUEST_ID, "one")
            .body(())
            .unwrap()
            .into_parts();
        let body = Bytes::from(r#"{"requestId":"one","timestamp":1,"records":[{"data":"YQ=="}]}"#);
        let other = under_another_id(&Whole { head, body }).unwrap();
        let read: Value = serde_json::from_slice(&other.body).unwrap();
        assert_eq!(read["records"], json!([{ "data": "YQ==" }]));
        assert_ne!(read["requestId"], "one");
        assert_eq!(read["requestId"], other.head.headers[REQUEST_ID].to_str().unwrap());
    }
}
