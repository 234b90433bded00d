//! Apache Kafka's jars, fetched with Maven, and the Java that runs them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

use crate::console::step;

/// The version of Apache Kafka.
pub(crate) const VERSION: &str = "4.1.0";

/// The oldest Java that runs it.
const OLDEST_JAVA: u32 = 17;

/// What Maven is to fetch: the broker, the tools that format its storage, and something that writes
/// its log.
const PROJECT: &str = r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId>
  <artifactId>apache-kafka</artifactId>
  <version>VERSION</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>VERSION</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
"#;

/// Maven's plugin that copies jars. A version that is not named may be another one tomorrow.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// How many bytes of what Maven complains about are shown.
const COMPLAINTS: usize = 2000;

/// Apache Kafka on this machine, ready to be started.
pub(crate) struct Installation {
    java: OsString,
    /// The directory of the jars.
    jars: PathBuf,
}

impl Installation {
    /// Finds Java, and the jars below `directory`, which are fetched where they are not there.
    ///
    /// # Errors
    /// Java is missing or too old; the jars are not there and Maven is missing too, or cannot fetch
    /// them.
    pub(crate) fn ensure(directory: &Path) -> Result<Self> {
        let java = java_home(env::var_os("JAVA_HOME"));
        check_java(&java)?;
        let jars = directory.join(format!("jars-{VERSION}"));
        if !jars.is_dir() {
            fs::create_dir_all(directory)
                .with_context(|| format!("create {}", directory.display()))?;
            fetch(directory, &jars)?;
        }
        Ok(Self { java, jars })
    }

    /// A command that starts Java with Apache Kafka's classes, the options of the virtual machine
    /// and its log, and is to be given a class.
    pub(crate) fn java(&self, log_level: &str) -> Command {
        let mut command = Command::new(&self.java);
        command.arg("-cp").arg(self.jars.join("*")).args([
            format!("-Dorg.slf4j.simpleLogger.defaultLogLevel={log_level}"),
            "-Dorg.slf4j.simpleLogger.showDateTime=true".to_owned(),
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX".to_owned(),
        ]);
        command
    }
}

/// The Java to use: that of `JAVA_HOME`, as Maven does, else the one on the path.
fn java_home(home: Option<OsString>) -> OsString {
    match home.filter(|home| !home.is_empty()) {
        Some(home) => Path::new(&home).join("bin/java").into(),
        None => "java".into(),
    }
}

fn check_java(java: &OsString) -> Result<()> {
    let name = Path::new(java).display();
    let advice = format!(
        "Apache Kafka needs Java {OLDEST_JAVA} or newer: install it (Debian and Ubuntu: \
         openjdk-{OLDEST_JAVA}-jre-headless), or have JAVA_HOME name it"
    );
    let output = match Command::new(java)
        .args(["-XshowSettings:properties", "-version"])
        .output()
    {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("no {name} here. {advice}"),
        Err(error) => return Err(error).with_context(|| format!("start {name}. {advice}")),
    };
    let settings = String::from_utf8_lossy(&output.stderr);
    let version = java_version(&settings)
        .with_context(|| format!("{name} does not tell its version. {advice}"))?;
    ensure!(version >= OLDEST_JAVA, "{name} is Java {version}. {advice}");
    Ok(())
}

/// The major version in what Java says of its properties. Until Java 8 it is written `1.8`.
fn java_version(settings: &str) -> Option<u32> {
    let version = settings.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "java.specification.version").then(|| value.trim())
    })?;
    let version = version.strip_prefix("1.").unwrap_or(version);
    version.parse().ok()
}

/// Has Maven fetch the jars. They are complete once the directory has its name.
fn fetch(directory: &Path, jars: &Path) -> Result<()> {
    // Others wait here until the first is done.
    let lock = File::create(directory.join("fetch.lock")).context("create a lock")?;
    lock.lock().context("lock the directory of the jars")?;
    if jars.is_dir() {
        return Ok(());
    }
    step("Fetching", &format!("Apache Kafka {VERSION} with Maven"));
    let scratch = jars.with_extension("part");
    match fs::remove_dir_all(&scratch) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&scratch)?,
    }
    let project = scratch.join("pom.xml");
    fs::write(&project, PROJECT.replace("VERSION", VERSION))?;
    let copied = scratch.join("jars");
    copy(&project, &copied)?;
    fs::rename(&copied, jars).with_context(|| format!("name {}", jars.display()))?;
    fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))
}

/// Has Maven copy what the project depends on to `jars`.
fn copy(project: &Path, jars: &Path) -> Result<()> {
    let mut maven = match Command::new("mvn")
        .args(["--batch-mode", "--file"])
        .arg(project)
        // The default is to wait half an hour for a connection that has gone silent.
        .args([
            "-Dmaven.wagon.rto=60000",
            "-Dmaven.wagon.http.connectionTimeout=15000",
            "-Daether.connector.connectTimeout=15000",
            "-Daether.connector.requestTimeout=60000",
            "-Dstyle.color=never",
        ])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .arg(COPY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(maven) => maven,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "no mvn here. Apache Kafka's jars are fetched with Maven: install it (Debian and \
             Ubuntu: maven)"
        ),
        Err(error) => return Err(error).context("start mvn"),
    };
    let output = maven.stdout.take().context("mvn has no output")?;
    let errors = maven.stderr.take().context("mvn has no error output")?;
    // On a thread of its own, so that neither of the two fills up while the other is read.
    let errors = thread::spawn(move || complaints(BufReader::new(errors), |_| true));
    let complained = complaints(BufReader::new(output), |line| line.starts_with("[ERROR]"));
    let errors = errors.join().unwrap_or_default();
    let status = maven.wait().context("wait for mvn")?;
    ensure!(
        status.success(),
        "Apache Kafka {VERSION} could not be downloaded; mvn ended with {status}{errors}{complained}"
    );
    Ok(())
}

/// Shows what Maven has downloaded, and returns what it complains about.
fn complaints(output: impl BufRead, is_one: impl Fn(&str) -> bool) -> String {
    let mut complaints = String::new();
    for line in output.lines().map_while(Result::ok) {
        if let Some(file) = downloaded(&line) {
            step("Downloaded", file);
        } else if is_one(&line) && complaints.len() < COMPLAINTS {
            complaints.push_str("\n    ");
            complaints.push_str(&line);
        }
    }
    complaints
}

/// The jar that a line of Maven's says has come.
fn downloaded(line: &str) -> Option<&str> {
    let (_, address) = line.split_once("Downloaded from ")?;
    let address = address.split_whitespace().nth(1)?;
    let (_, file) = address.rsplit_once('/')?;
    Path::new(file).extension()?.eq("jar").then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_java_is_read_from_its_properties() {
        let settings = "Property settings:\n    java.specification.name = Java Platform API \
                        Specification\n    java.specification.version = 17\n    java.version = \
                        17.0.15\n\nopenjdk version \"17.0.15\" 2025-04-15\n";
        assert_eq!(java_version(settings), Some(17));
        assert_eq!(
            java_version("    java.specification.version = 1.8\n"),
            Some(8)
        );
        assert_eq!(java_version("no java at all"), None);
    }

    #[test]
    fn java_home_goes_before_the_path() {
        assert_eq!(java_home(Some("/jdk".into())), "/jdk/bin/java");
        assert_eq!(java_home(Some("".into())), "java");
        assert_eq!(java_home(None), "java");
    }

    #[test]
    fn a_java_that_is_not_there_is_named_with_what_to_do() {
        let error = check_java(&"/no/such/java".into()).unwrap_err().to_string();
        assert!(error.starts_with("no /no/such/java here. "), "{error}");
        assert!(error.contains("Java 17 or newer"), "{error}");
    }

    #[test]
    fn of_what_comes_only_jars_are_told() {
        let line = "[INFO] Downloaded from central: https://host/kafka_2.13-4.1.0.jar (5.6 MB at \
                    12 MB/s)";
        assert_eq!(downloaded(line), Some("kafka_2.13-4.1.0.jar"));
        assert_eq!(
            downloaded("Downloaded from central: https://host/kafka.pom (1 kB)"),
            None
        );
        assert_eq!(downloaded("[INFO] Scanning for projects..."), None);
        assert_eq!(downloaded("Downloaded from "), None);
    }

    #[test]
    fn maven_s_errors_are_kept() {
        let output = "[INFO] Scanning\n[ERROR] Unknown host\n[INFO] BUILD FAILURE\n";
        assert_eq!(
            complaints(output.as_bytes(), |line| line.starts_with("[ERROR]")),
            "\n    [ERROR] Unknown host"
        );
    }
}
