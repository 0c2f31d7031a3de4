//! Where objects are: in folders, or in S3.

use std::path::{Path, PathBuf};

use ::replay::object::MAX_OBJECT_BYTES;
use ::replay::s3::{S3, S3Config};
use anyhow::{Context as _, bail, ensure};
use edge::config::{Reader, env};
use twox_hash::XxHash3_128;

/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 32;

/// A file, a folder or a prefix.
pub(crate) enum Source {
    Path(PathBuf),
    Bucket { s3: S3, bucket: String, prefix: String },
}

/// One object.
pub(crate) struct Object {
    /// For people, and for the quarantine.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    /// The same as long as name and content are.
    pub(crate) identity: String,
    place: Place,
}

enum Place {
    File(PathBuf),
    S3 { s3: S3, bucket: String, key: String },
}

impl Source {
    /// Understands what was written on the command line.
    pub(crate) fn open(text: &str) -> anyhow::Result<Self> {
        let Some(rest) = text.strip_prefix("s3://") else {
            return Ok(Self::Path(text.into()));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        ensure!(!bucket.is_empty(), "{text} names no bucket");
        let mut reader = Reader::new(&env);
        let config = S3Config::read(&mut reader);
        Ok(Self::Bucket {
            s3: S3::new(&reader.finish(config)?),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// All objects, in the order of their names: the oldest first, as Firehose names them.
    pub(crate) async fn objects(&self) -> anyhow::Result<Vec<Object>> {
        match self {
            Self::Path(path) => {
                let mut files = Vec::new();
                collect(path, MAX_DEPTH, &mut files).with_context(|| format!("{} cannot be read", path.display()))?;
                files.sort();
                files.into_iter().map(|file| of_file(&file)).collect()
            }
            Self::Bucket { s3, bucket, prefix } => {
                let objects = s3.list(bucket, prefix).await?.into_iter().map(|listed| {
                    let name = format!("s3://{bucket}/{}", listed.key);
                    Object {
                        bytes: listed.bytes,
                        identity: identity(&name, listed.etag.as_bytes()),
                        name,
                        place: Place::S3 {
                            s3: s3.clone(),
                            bucket: bucket.clone(),
                            key: listed.key,
                        },
                    }
                });
                Ok(objects.collect())
            }
        }
    }
}

impl Object {
    /// Its content. An error of this object alone: others may be read.
    pub(crate) async fn read(&self) -> anyhow::Result<Vec<u8>> {
        ensure!(
            self.bytes <= MAX_OBJECT_BYTES as u64,
            "{} is larger than any object of Firehose",
            self.name
        );
        match &self.place {
            Place::File(path) => tokio::fs::read(path)
                .await
                .with_context(|| format!("{} cannot be read", path.display())),
            Place::S3 { s3, bucket, key } => Ok(s3.get(bucket, key).await?),
        }
    }
}

/// The files in a folder and those below it. Hidden ones and drafts of a file that is being written are no objects.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.metadata()?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        bail!("the folders are nested too deep");
    }
    for entry in path.read_dir()? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') && !name.ends_with(".new") {
            collect(&path, depth - 1, files)?;
        }
    }
    Ok(())
}

fn of_file(path: &Path) -> anyhow::Result<Object> {
    let bytes = path.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    // One that is too large is no object of Firehose: it is named when it is to be read.
    let read = || -> std::io::Result<(PathBuf, Vec<u8>)> {
        let content = if bytes <= MAX_OBJECT_BYTES as u64 {
            std::fs::read(path)?
        } else {
            Vec::new()
        };
        Ok((path.canonicalize()?, content))
    };
    let (full, content) = read().with_context(|| format!("{} cannot be read", path.display()))?;
    let name = full.display().to_string();
    Ok(Object {
        bytes,
        identity: identity(&name, &content),
        name,
        place: Place::File(full),
    })
}

fn identity(name: &str, content: &[u8]) -> String {
    format!(
        "{:032x}-{:032x}",
        XxHash3_128::oneshot(name.as_bytes()),
        XxHash3_128::oneshot(content)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_is_its_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for (name, content) in [("b/c/2", "two"), ("b/1", "one"), (".hidden", "x"), ("3.new", "x")] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let source = Source::open(&folder.path().display().to_string()).unwrap();
        let objects = source.objects().await.unwrap();
        let mut contents = Vec::new();
        for object in &objects {
            contents.push(String::from_utf8(object.read().await.unwrap()).unwrap());
        }
        assert_eq!(contents, ["one", "two"]);
        std::fs::write(folder.path().join("b/1"), "other").unwrap();
        let again = source.objects().await.unwrap();
        assert_ne!(objects[0].identity, again[0].identity);
        assert_eq!(objects[1].identity, again[1].identity);
        // One that is too large spoils no listing.
        let large = std::fs::File::create(folder.path().join("z")).unwrap();
        large.set_len(MAX_OBJECT_BYTES as u64 + 1).unwrap();
        let objects = source.objects().await.unwrap();
        assert_eq!(objects.len(), 3);
        assert!(objects[0].read().await.is_ok() && objects[2].read().await.is_err());
        assert!(Source::open("s3:///x").is_err());
        assert!(Source::open("/no/such/folder").unwrap().objects().await.is_err());
    }
}
