//! The page's URL, normalised by the WHATWG rules.

mod normal;

use std::borrow::Cow;

use crate::issue::Reason;
use crate::json::Raw;
use crate::limits::MAX_URL_BYTES;

/// An http or https URL, normalised. One that is so already is borrowed.
pub(crate) fn url(value: Raw<'_>) -> Result<Cow<'_, str>, Reason> {
    let Raw::Text(text) = value else {
        return Err(Reason::UrlType);
    };
    let text = super::plain(text)?;
    if text.len() > MAX_URL_BYTES {
        return Err(Reason::UrlTooLong);
    }
    if normal::is_normal(&text) {
        return Ok(text);
    }
    if text.is_empty() {
        return Err(Reason::UrlParsing {
            error: "input is empty".to_owned(),
        });
    }
    let url = url::Url::parse(&text).map_err(|error| Reason::UrlParsing {
        error: error.to_string(),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Reason::UrlScheme);
    }
    Ok(Cow::Owned(url.into()))
}
