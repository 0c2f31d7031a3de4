//! From a request to the page, a file, or data.

use edge::{Body, Request, Response, deadline, respond, route};
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Method, StatusCode};
use marts::{Error, Parameters, cached};

use crate::context::Context;
use crate::data::Data;
use crate::files;
use crate::live::Live;

const DATA: &str = "/dashboard/data";
const LIVE: &str = "/dashboard/live";

/// Every path that is answered.
pub(crate) const ROUTES: &[&str] = &[
    "/dashboard",
    "/dashboard/charts.js",
    DATA,
    "/dashboard/echarts.js",
    "/dashboard/icon.svg",
    LIVE,
    "/dashboard/page.css",
    "/dashboard/panels.js",
    "/dashboard/start.js",
];

/// Answers one request: `GET` or `HEAD` of `/dashboard` or of something under it.
pub(crate) async fn handle(context: &Context, request: &Request) -> Result<Response<Body>, Error> {
    let path = route::path(request).ok_or(Error::NotFound)?;
    if !ROUTES.contains(&path.as_str()) {
        return Err(Error::NotFound);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Error::MethodNotAllowed);
    }
    match path.as_str() {
        DATA => data(context, request).await,
        LIVE => live(context, request).await,
        path => Ok(files::find(path).ok_or(Error::NotFound)?.response(request)),
    }
}

async fn data(context: &Context, request: &Request) -> Result<Response<Body>, Error> {
    context.read_keys.check(request)?;
    let now = (context.now)();
    let today = jiff::tz::Offset::UTC.to_datetime(now).date();
    let mut parameters = Parameters::new(request, today);
    let days = parameters.range();
    let days = parameters.finish(days).map_err(Error::Invalid)?;
    let data = Data::read(&context.clickhouse, days, deadline::remaining(request, now)).await;
    let mut response = respond::json_of(StatusCode::OK, &data);
    if data.is_good() {
        cached(context.read_keys.required(), response.headers_mut());
    } else {
        // What is missing now may be there in a moment.
        not_kept(&mut response);
    }
    Ok(response)
}

async fn live(context: &Context, request: &Request) -> Result<Response<Body>, Error> {
    context.read_keys.check(request)?;
    let now = (context.now)();
    let live = Live::read(&context.clickhouse, now, deadline::remaining(request, now)).await;
    let mut response = respond::json_of(StatusCode::OK, &live);
    not_kept(&mut response);
    Ok(response)
}

fn not_kept(response: &mut Response<Body>) {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
}

#[cfg(test)]
mod tests;
