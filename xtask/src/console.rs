//! The terminal, shared by several speakers.

use std::io::{self, IsTerminal, Write};

/// One of the two streams a process writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// Shows lines, each behind the name of who wrote it, on the stream it was written to.
pub(crate) struct Console {
    output: Side,
    error: Side,
    /// The name under which this program speaks.
    own_name: &'static str,
    /// The columns that names take.
    width: usize,
}

struct Side {
    writer: Box<dyn Write>,
    coloured: bool,
}

/// Our own lines, then those of each process; a further one begins again.
const OWN_COLOUR: &str = "1";
const COLOURS: [&str; 4] = ["36", "32", "35", "33"];

impl Console {
    /// The terminal of this program, coloured where it is one and `NO_COLOR` does not say
    /// otherwise. `names` are all who are going to speak.
    pub(crate) fn new(own_name: &'static str, names: &[&str]) -> Self {
        // https://no-color.org: set and not empty.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let (output, error) = (io::stdout(), io::stderr());
        let output = Side {
            coloured: output.is_terminal() && !plain,
            writer: Box::new(output),
        };
        let error = Side {
            coloured: error.is_terminal() && !plain,
            writer: Box::new(error),
        };
        Self::on(output, error, own_name, names)
    }

    fn on(output: Side, error: Side, own_name: &'static str, names: &[&str]) -> Self {
        let width = names
            .iter()
            .map(|name| name.len())
            .max()
            .unwrap_or(0)
            .max(own_name.len());
        Self {
            output,
            error,
            own_name,
            width,
        }
    }

    /// Shows a line of our own.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        let Self {
            output,
            own_name,
            width,
            ..
        } = self;
        output.line(own_name, *width, OWN_COLOUR, text)
    }

    /// Shows what the process with this number and name wrote.
    pub(crate) fn relay(
        &mut self,
        number: usize,
        name: &str,
        stream: Stream,
        text: &str,
    ) -> io::Result<()> {
        let side = match stream {
            Stream::Output => &mut self.output,
            Stream::Error => &mut self.error,
        };
        side.line(name, self.width, COLOURS[number % COLOURS.len()], text)
    }
}

impl Side {
    /// Writes a line in one piece, so that the two streams do not mix inside it.
    fn line(&mut self, name: &str, width: usize, colour: &str, text: &str) -> io::Result<()> {
        let line = if self.coloured {
            format!("\x1b[{colour}m{name:width$} |\x1b[0m {text}\n")
        } else {
            format!("{name:width$} | {text}\n")
        };
        self.writer.write_all(line.as_bytes())?;
        self.writer.flush()
    }
}

/// Says on the error output what comes next, in cargo's manner.
pub(crate) fn step(verb: &str, what: &str) {
    eprintln!("{verb:>12} {what}");
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was written to a console, both streams in their order.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(crate) fn console(&self, names: &[&str]) -> Console {
            let side = |coloured| Side {
                writer: Box::new(self.clone()),
                coloured,
            };
            Console::on(side(false), side(false), "demo", names)
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_stands_behind_the_name_of_its_speaker() {
        let written = Written::default();
        let mut console = written.console(&["data_provider", "actor-server"]);
        console
            .relay(0, "data_provider", Stream::Output, "wrote 280 records")
            .unwrap();
        console
            .relay(1, "actor-server", Stream::Error, "ready actor")
            .unwrap();
        console.say("Ctrl-C stops both").unwrap();
        assert_eq!(
            written.text(),
            "data_provider | wrote 280 records\n\
             actor-server  | ready actor\n\
             demo          | Ctrl-C stops both\n"
        );
    }

    #[test]
    fn a_coloured_stream_colours_the_name_alone() {
        let written = Written::default();
        let side = |coloured| Side {
            writer: Box::new(written.clone()),
            coloured,
        };
        let mut console = Console::on(side(true), side(false), "demo", &["one", "two"]);
        console.relay(0, "one", Stream::Output, "a").unwrap();
        console.relay(1, "two", Stream::Output, "b").unwrap();
        console.relay(1, "two", Stream::Error, "c").unwrap();
        assert_eq!(
            written.text(),
            "\x1b[36mone  |\x1b[0m a\n\x1b[32mtwo  |\x1b[0m b\ntwo  | c\n"
        );
    }
}
