//! The directory with the records and the models.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use model::{Directory, archive};
use protobufs::WineRecord;
use protobufs::model_descriptor::ModelType;
use serde::Deserialize;

use crate::wine;

const RECORDS: &str = "winequality_red.csv";
const MANIFEST: &str = "models.toml";

/// The directory that holds the data: the one asked for, else `data` in the working directory,
/// else that of the workspace this program was built in.
pub(super) fn directory(asked: Option<&Path>) -> Result<PathBuf> {
    if let Some(asked) = asked {
        ensure!(
            asked.is_dir(),
            "{} is no directory (--data-dir)",
            asked.display()
        );
        return Ok(asked.to_owned());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
    [PathBuf::from("data"), workspace]
        .into_iter()
        .find(|directory| directory.join(MANIFEST).is_file())
        .with_context(|| format!("no directory data with {MANIFEST} here: name one (--data-dir)"))
}

/// The records: `;` between the fields, no header, 11 measurements, then the quality, which is for
/// the models to find out.
pub(super) fn records(directory: &Path) -> Result<Vec<WineRecord>> {
    let path = directory.join(RECORDS);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read the records in {}", path.display()))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let records: Vec<WineRecord> = lines
        .map(|(index, line)| {
            record(line).with_context(|| format!("{}, line {}", path.display(), index + 1))
        })
        .collect::<Result<_>>()?;
    ensure!(!records.is_empty(), "{} has no records", path.display());
    Ok(records)
}

fn record(line: &str) -> Result<WineRecord> {
    let mut measurements = [0.0; 11];
    let mut fields = line.split(';');
    for (index, place) in measurements.iter_mut().enumerate() {
        let field = fields
            .next()
            .with_context(|| format!("only {index} of 11 measurements"))?;
        *place = field
            .trim()
            .parse()
            .with_context(|| format!("{field:?} is no number"))?;
    }
    Ok(wine::record(measurements))
}

/// A model of the manifest.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(rename = "type")]
    model_type: String,
    path: PathBuf,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    model: Vec<Entry>,
}

/// The models of the manifest, in its order: those with one of these names, all without a name.
pub(super) fn manifest(directory: &Path, names: &[String]) -> Result<Vec<Entry>> {
    let path = directory.join(MANIFEST);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read the list of models in {}", path.display()))?;
    let manifest: Manifest =
        toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))?;
    ensure!(
        !manifest.model.is_empty(),
        "{} lists no models",
        path.display()
    );
    let models = manifest.model;
    if let Some(unknown) = names
        .iter()
        .find(|name| models.iter().all(|entry| entry.name != **name))
    {
        let known: Vec<&str> = models.iter().map(|entry| entry.name.as_str()).collect();
        bail!(
            "no model is called {unknown} (--publish); {} has {}",
            path.display(),
            known.join(", ")
        );
    }
    let wanted = |entry: &Entry| names.is_empty() || names.contains(&entry.name);
    Ok(models.into_iter().filter(wanted).collect())
}

impl Entry {
    /// The format.
    pub(super) fn model_type(&self) -> Result<ModelType> {
        ModelType::from_str_name(&self.model_type).with_context(|| {
            let known = (0..).map_while(|number| ModelType::try_from(number).ok());
            let known: Vec<_> = known.map(|known| known.as_str_name()).collect();
            format!(
                "unknown model type {}; known: {}",
                self.model_type,
                known.join(", ")
            )
        })
    }

    /// The model itself, if it is not larger than `limit`: a file, or a directory as an archive.
    pub(super) fn bytes(&self, directory: &Path, limit: u64) -> Result<Bytes> {
        let path = directory.join(&self.path);
        let unreadable = || format!("cannot read {}", path.display());
        let found = fs::metadata(&path).with_context(unreadable)?;
        // Before it is read: nobody says how large it is.
        if !found.is_dir() {
            fits(found.len(), limit)?;
        }
        let bytes = if found.is_dir() {
            archive::pack(&Directory::open(&path, limit)?).with_context(unreadable)?
        } else {
            fs::read(&path).with_context(unreadable)?.into()
        };
        fits(bytes.len() as u64, limit)?;
        Ok(bytes)
    }

    /// Where the model is, as servers on this machine find it.
    pub(super) fn location(&self, directory: &Path) -> Result<String> {
        let path = directory.join(&self.path);
        let unreadable = || format!("cannot find {}", path.display());
        let path = path.canonicalize().with_context(unreadable)?;
        let path = path.into_os_string().into_string();
        path.map_err(|path| anyhow!("{} is not UTF-8", path.display()))
    }
}

fn fits(size: u64, limit: u64) -> Result<()> {
    ensure!(
        size <= limit,
        "it has {size} bytes, and the topic for models takes messages of {limit}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_record_by_the_order_of_its_fields() {
        let read = record("7.4;0.7;0;1.9;0.076;11;34;0.9978;3.51;0.56;9.4;5").unwrap();
        assert_eq!((read.fixed_acidity, read.citric_acid), (7.4, 0.0));
        assert_eq!((read.p_h, read.sulphates, read.alcohol), (3.51, 0.56, 9.4));
    }

    #[test]
    fn a_line_that_is_short_or_no_number_is_an_error_that_says_where() {
        let directory = tempfile::tempdir().unwrap();
        let write = |text: &str| fs::write(directory.path().join(RECORDS), text).unwrap();
        write("7.4;0.7;0;1.9;0.076;11;34;0.9978;3.51;0.56;9.4;5\n1;2;3\n");
        let error = format!("{:#}", records(directory.path()).unwrap_err());
        assert!(error.contains("line 2: only 3 of 11"), "{error}");
        write("a;0.7;0;1.9;0.076;11;34;0.9978;3.51;0.56;9.4;5\n");
        let error = format!("{:#}", records(directory.path()).unwrap_err());
        assert!(
            error.contains("line 1") && error.contains("\"a\" is no number"),
            "{error}"
        );
        write("\n");
        assert!(records(directory.path()).is_err());
    }

    #[test]
    fn the_workspaces_own_data_is_complete() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
        assert_eq!(records(&directory).unwrap().len(), 1599);
        for entry in manifest(&directory, &[]).unwrap() {
            entry.model_type().unwrap();
            assert!(
                directory.join(&entry.path).exists(),
                "{}",
                entry.path.display()
            );
        }
    }

    #[test]
    fn a_directory_is_published_as_an_archive() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
        let entries = manifest(&directory, &["winequality-savedmodel".to_owned()]).unwrap();
        let bytes = entries[0].bytes(&directory, 16 << 20).unwrap();
        assert_eq!(entries[0].bytes(&directory, 16 << 20).unwrap(), bytes);
        let unpacked = archive::unpack(&bytes, 16 << 20).unwrap();
        let model = directory.join("models/wine/1");
        assert_eq!(unpacked, Directory::open(&model, 16 << 20).unwrap());
        assert!(entries[0].bytes(&directory, 1000).is_err());
        let location = entries[0].location(&directory).unwrap();
        assert_eq!(Path::new(&location), model.canonicalize().unwrap());
    }

    #[test]
    fn a_model_larger_than_a_message_is_refused_unread() {
        let directory = tempfile::tempdir().unwrap();
        fs::File::create(directory.path().join("large"))
            .unwrap()
            .set_len(20_000_000)
            .unwrap();
        let entry = Entry {
            name: "large".to_owned(),
            description: String::new(),
            model_type: "PMML".to_owned(),
            path: "large".into(),
        };
        let error = entry
            .bytes(directory.path(), 16 << 20)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "it has 20000000 bytes, and the topic for models takes messages of 16777216"
        );
    }
}
