use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use serving::Outcomes;

/// How often at most it is reported that the file cannot be written.
const REPORT: Duration = Duration::from_secs(10);
/// The last millisecond of the year 9999: what comes later has no four digits for its year.
const LAST_MS: i64 = 253_402_300_799_999;

/// A text file of scores, one line each, for people and for `cut` and `awk`.
///
/// The columns, separated by tabs: when the record was submitted (RFC 3339, UTC, milliseconds), its
/// data type, the model's name, the model's version, the predicted value, the predicted label. What
/// a score does not have is empty; a backslash, a tab or a line end inside a column is escaped as in
/// Rust (`\\`, `\t`, `\n`). Lines of one partition and data type are in the order of the records.
///
/// A new file replaces one that was there, as `writeAsText` of Flink does when told to overwrite:
/// it has the scores of one run. The lines of a batch are written together, and at once.
///
/// Each worker writes by a clone of its own.
pub(crate) struct ScoreFile {
    file: Arc<Mutex<Target>>,
    lines: String,
}

struct Target {
    file: File,
    /// Whether the last line was not written to its end.
    torn: bool,
    reported: Option<Instant>,
    lost: usize,
}

impl ScoreFile {
    /// Creates the file, and its directory.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        File::create(path)?;
        // From now on lines are appended, also to what another server may write to the same file.
        let file = OpenOptions::new().append(true).open(path)?;
        let target = Target {
            file,
            torn: false,
            reported: None,
            lost: 0,
        };
        Ok(Self {
            file: Arc::new(Mutex::new(target)),
            lines: String::new(),
        })
    }

    /// Writes the scores of a batch. What cannot be written is reported and left out: the stream
    /// goes on.
    pub(crate) fn write(&mut self, outcomes: &Outcomes) {
        let Some(model) = outcomes.model() else {
            return;
        };
        self.lines.clear();
        let (name, version) = (&model.descriptor.name, &model.descriptor.version);
        for (record, score) in outcomes.scores() {
            // A score that failed is a dead letter.
            let Ok(score) = score else { continue };
            let line = Line {
                submitted_us: record.submitted_us,
                data_type: &record.data_type,
                name,
                version,
                value: score.value,
                label: score.label.as_deref(),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(self.lines, "{line}");
        }
        let mut target = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        target.write(&self.lines);
    }
}

impl Clone for ScoreFile {
    fn clone(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            lines: String::new(),
        }
    }
}

impl Target {
    fn write(&mut self, lines: &str) {
        if let Err(error) = self.try_write(lines) {
            self.lost += lines.lines().count();
            if self.reported.is_none_or(|last| last.elapsed() >= REPORT) {
                self.reported = Some(Instant::now());
                let lines = std::mem::take(&mut self.lost);
                tracing::error!(lines, "scores are missing in the file of --output: {error}");
            }
        }
    }

    fn try_write(&mut self, lines: &str) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.torn {
            self.file.write_all(b"\n")?;
        }
        self.torn = true;
        self.file.write_all(lines.as_bytes())?;
        self.torn = false;
        Ok(())
    }
}

struct Line<'a> {
    submitted_us: Option<i64>,
    data_type: &'a str,
    name: &'a str,
    version: &'a str,
    value: Option<f64>,
    label: Option<&'a str>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.submitted_us.map(|us| us.div_euclid(1000));
        match ms.map(|ms| (ms, u64::try_from(ms))) {
            Some((ms, Ok(unsigned))) if ms <= LAST_MS => {
                let time = UNIX_EPOCH + Duration::from_millis(unsigned);
                write!(f, "{}", humantime::format_rfc3339_millis(time))?;
            }
            // Not a time that anyone means: as it came.
            Some((ms, _)) => write!(f, "{ms}")?,
            None => {}
        }
        for text in [self.data_type, self.name, self.version] {
            write!(f, "\t{}", Escaped(text))?;
        }
        match self.value {
            Some(value) => write!(f, "\t{value}")?,
            None => f.write_char('\t')?,
        }
        write!(f, "\t{}", Escaped(self.label.unwrap_or_default()))
    }
}

/// A text without anything that ends a column or a line.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() || character == '\\' {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line<'_> = Line {
        submitted_us: Some(1_700_000_000_123_456),
        data_type: "wine",
        name: "forest",
        version: "7",
        value: Some(5.5),
        label: None,
    };

    #[test]
    fn a_line_says_when_which_model_and_what() {
        assert_eq!(
            LINE.to_string(),
            "2023-11-14T22:13:20.123Z\twine\tforest\t7\t5.5\t"
        );
        let line = Line {
            submitted_us: None,
            value: None,
            label: Some("good"),
            ..LINE
        };
        assert_eq!(line.to_string(), "\twine\tforest\t7\t\tgood");
    }

    #[test]
    fn nothing_from_outside_breaks_a_line_or_makes_a_column() {
        let line = Line {
            name: "a\tb\nc\u{85}",
            version: r"\n",
            ..LINE
        };
        assert_eq!(
            line.to_string(),
            "2023-11-14T22:13:20.123Z\twine\ta\\tb\\nc\\u{85}\t\\\\n\t5.5\t"
        );
    }

    #[test]
    fn any_time_of_submission_can_be_written() {
        for (us, written) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (LAST_MS * 1000 + 999, "9999-12-31T23:59:59.999Z"),
            (LAST_MS * 1000 + 1000, "253402300800000"),
            (-1, "-1"),
            (i64::MAX, "9223372036854775"),
            (i64::MIN, "-9223372036854776"),
        ] {
            let line = Line {
                submitted_us: Some(us),
                ..LINE
            };
            assert!(
                line.to_string().starts_with(&format!("{written}\t")),
                "{us}"
            );
        }
    }

    #[test]
    fn a_new_file_replaces_the_old_one_and_makes_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output").join("scores.txt");
        for run in ["a line that is long\n", "a line\n"] {
            let file = ScoreFile::create(&path).unwrap();
            let clone = file.clone();
            file.file.lock().unwrap().write(run);
            clone.file.lock().unwrap().write("another\n");
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                format!("{run}another\n")
            );
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        assert!(ScoreFile::create(directory.path()).is_err());
        let path = directory.path().join("file");
        std::fs::write(&path, "").unwrap();
        assert!(ScoreFile::create(&path.join("scores.txt")).is_err());
    }

    #[test]
    fn a_full_disk_does_not_end_the_stream_and_a_torn_line_stays_alone() {
        let full = OpenOptions::new().append(true).open("/dev/full");
        // Only Linux has a disk that is always full.
        let Ok(full) = full else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scores.txt");
        let file = ScoreFile::create(&path).unwrap();
        let mut target = file.file.lock().unwrap();
        let disk = std::mem::replace(&mut target.file, full);
        target.write("lost\n");
        target.write("lost\nlost too\n");
        assert_eq!(
            (target.torn, target.lost),
            (true, 2),
            "the first was reported"
        );
        target.file = disk;
        target.write("written\n");
        assert!(!target.torn);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "\nwritten\n");
    }
}
