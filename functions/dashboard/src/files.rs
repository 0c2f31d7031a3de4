//! The page and the files that it loads.

use std::sync::LazyLock;

use edge::resource::Resource;

const CSS: &str = "text/css; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// What the page may do: load scripts, styles, images and data from here, and images that are written out.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `/dashboard`; what it names has the digest in its address. What its script imports is asked for again each time.
static PAGE: LazyLock<Resource> = LazyLock::new(|| {
    let files = FILES.iter().map(|(path, file)| (*path, &**file));
    let html = Resource::linked(include_str!("../pages/dashboard.html"), files);
    Resource::made(HTML, html.into_bytes()).with_policy(POLICY.to_owned())
});

/// A file, the path that it is served at, and what makes it.
type File = (&'static str, LazyLock<Resource>);

/// Third parties' files (see `assets/README.md`) come gzipped, our own as they are.
static FILES: [File; 6] = [
    (
        "/dashboard/charts.js",
        LazyLock::new(|| Resource::embedded(JAVASCRIPT, include_bytes!("../pages/charts.js"), false)),
    ),
    (
        "/dashboard/echarts.js",
        LazyLock::new(|| {
            let bytes = include_bytes!("../assets/echarts/echarts.common.min.js.gz");
            Resource::embedded(JAVASCRIPT, bytes, true)
        }),
    ),
    (
        "/dashboard/icon.svg",
        // An image of its own when it is opened by itself: then it may do nothing.
        LazyLock::new(|| {
            Resource::embedded(SVG, include_bytes!("../pages/icon.svg"), false)
                .with_policy("default-src 'none'".to_owned())
        }),
    ),
    (
        "/dashboard/page.css",
        LazyLock::new(|| Resource::embedded(CSS, include_bytes!("../pages/page.css"), false)),
    ),
    (
        "/dashboard/panels.js",
        LazyLock::new(|| Resource::embedded(JAVASCRIPT, include_bytes!("../pages/panels.js"), false)),
    ),
    (
        "/dashboard/start.js",
        LazyLock::new(|| Resource::embedded(JAVASCRIPT, include_bytes!("../pages/start.js"), false)),
    ),
];

/// The page or the file at a path.
pub(crate) fn find(path: &str) -> Option<&'static Resource> {
    if path == "/dashboard" {
        return Some(&PAGE);
    }
    let (_, file) = FILES.iter().find(|(at, _)| *at == path)?;
    Some(file)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_library_is_the_one_that_the_readme_names() {
        let readme = include_str!("../assets/README.md");
        let rows: Vec<_> = readme.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), 1, "{rows:?}");
        let digest = rows[0].split('|').nth(4).unwrap().trim().trim_matches('`');
        let found = Sha256::digest(find("/dashboard/echarts.js").unwrap().inflated().unwrap());
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest);
    }

    #[test]
    fn every_file_is_text() {
        for (path, file) in &FILES {
            let bytes = file.inflated().unwrap().into_owned();
            assert!(!bytes.is_empty() && String::from_utf8(bytes).is_ok(), "{path}");
        }
    }
}
