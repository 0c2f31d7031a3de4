//! The two pages. Each is a short document without a script of its own; what it loads has the digest in its address.

use edge::resource::Resource;

use crate::assets;
use crate::context::Config;

const HTML: &str = "text/html; charset=utf-8";

/// What both pages may do: load scripts, styles and images from here, and images that are written out.
const POLICY: &str = "default-src 'none'; script-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Swagger UI. It sends requests to the functions, wherever they are.
pub(crate) fn swagger_ui(config: &Config) -> Resource {
    let connect: String = config.origins().iter().map(|origin| format!(" {origin}")).collect();
    page(include_str!("../pages/docs.html"))
        .with_policy(format!("{POLICY}; style-src 'self'; connect-src 'self'{connect}"))
}

/// ReDoc. It makes style elements, and its search runs in a worker that it makes of a text.
pub(crate) fn redoc() -> Resource {
    page(include_str!("../pages/redoc.html")).with_policy(format!(
        "{POLICY}; style-src 'self' 'unsafe-inline'; connect-src 'self'; worker-src blob:"
    ))
}

/// A page, the digests put behind the paths of its files.
fn page(template: &str) -> Resource {
    let files = assets::paths().filter_map(|path| Some((path, assets::find(path)?)));
    let html = Resource::linked(template, files);
    Resource::made(HTML, html.into_bytes())
}
