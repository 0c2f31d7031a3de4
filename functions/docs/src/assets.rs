//! The files that the pages load.

use std::sync::LazyLock;

use edge::resource::Resource;

const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// A file, the path that it is served at, and what makes it.
type Asset = (&'static str, LazyLock<Resource>);

/// Third parties' files (see `assets/README.md`) come gzipped, our own as they are.
static ASSETS: [Asset; 6] = [
    (
        "/docs/swagger-ui.css",
        LazyLock::new(|| Resource::embedded(CSS, include_bytes!("../assets/swagger-ui/swagger-ui.css.gz"), true)),
    ),
    (
        "/docs/swagger-ui-bundle.js",
        LazyLock::new(|| {
            let bytes = include_bytes!("../assets/swagger-ui/swagger-ui-bundle.js.gz");
            Resource::embedded(JAVASCRIPT, bytes, true)
        }),
    ),
    (
        "/docs/start.js",
        LazyLock::new(|| Resource::embedded(JAVASCRIPT, include_bytes!("../pages/docs.js"), false)),
    ),
    (
        "/docs/page.css",
        LazyLock::new(|| Resource::embedded(CSS, include_bytes!("../pages/page.css"), false)),
    ),
    (
        "/redoc/redoc.standalone.js",
        LazyLock::new(|| {
            let bytes = include_bytes!("../assets/redoc/redoc.standalone.js.gz");
            Resource::embedded(JAVASCRIPT, bytes, true)
        }),
    ),
    (
        "/redoc/start.js",
        LazyLock::new(|| Resource::embedded(JAVASCRIPT, include_bytes!("../pages/redoc.js"), false)),
    ),
];

/// The file at a path.
pub(crate) fn find(path: &str) -> Option<&'static Resource> {
    let (_, asset) = ASSETS.iter().find(|(at, _)| *at == path)?;
    Some(asset)
}

/// Every path with a file.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|(path, _)| *path)
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_files_are_those_that_the_readme_names() {
        let readme = include_str!("../assets/README.md");
        let mut listed = 0;
        for line in readme.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            let (file, digest) = (cells[1], cells[4]);
            let name = file.rsplit('/').next().unwrap();
            let path = paths().find(|path| path.ends_with(&format!("/{name}"))).unwrap();
            let found = Sha256::digest(find(path).unwrap().inflated().unwrap());
            let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, digest, "{file}");
            listed += 1;
        }
        assert_eq!(listed, 3);
    }

    #[test]
    fn every_file_is_text() {
        for path in paths() {
            let bytes = find(path).unwrap().inflated().unwrap().into_owned();
            assert!(!bytes.is_empty() && String::from_utf8(bytes).is_ok(), "{path}");
        }
    }
}
