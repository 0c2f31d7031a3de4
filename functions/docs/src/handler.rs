//! From a request to a page, the document, or a file.

use edge::{Body, Request, Response, route};
use http::Method;

use crate::assets;
use crate::context::Context;
use crate::error::Error;

/// Every path that is answered.
pub(crate) const ROUTES: &[&str] = &[
    "/docs",
    "/docs/page.css",
    "/docs/start.js",
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/openapi.json",
    "/redoc",
    "/redoc/redoc.standalone.js",
    "/redoc/start.js",
];

/// Answers one request: `GET` or `HEAD` of `/docs`, `/redoc`, `/openapi.json`, or of a file of the two pages.
pub fn handle(context: &Context, request: &Request) -> Result<Response<Body>, Error> {
    let path = route::path(request).ok_or(Error::NotFound)?;
    let resource = match path.as_str() {
        "/docs" => context.swagger_ui(),
        "/redoc" => context.redoc(),
        "/openapi.json" => context.openapi(),
        path => assets::find(path).ok_or(Error::NotFound)?,
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Error::MethodNotAllowed);
    }
    Ok(resource.response(request))
}

#[cfg(test)]
mod tests;
