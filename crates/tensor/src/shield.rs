//! Panics of the runtime as values.
//!
//! tract panics on some graphs that contradict themselves. Such a panic is caught here and becomes
//! a message. The process's panic hook would still print it, so a hook is put in front of the
//! present one, once, that keeps silent on a thread while it is inside [`shield`] and hands every
//! other panic on.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::thread::panicking;

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work` and returns its result, or the message and place of its panic.
///
/// What `work` was changing when it panicked is in an unknown state: the caller throws it away.
pub(crate) fn shield<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    // While a thread unwinds, hooks cannot be changed.
    if !panicking() {
        HOOK.call_once(put_hook);
    }

    let outer = INSIDE.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(outer);
    result.map_err(|payload| {
        let place = PLACE
            .take()
            .unwrap_or_else(|| "an unknown place".to_owned());
        format!(
            "the runtime panicked at {place}: {}",
            message(payload.as_ref())
        )
    })
}

/// A place in a crate, without where this machine keeps its crates.
fn place(file: &str, line: u32) -> String {
    let inside = file.rsplit_once("/src/").and_then(|(root, file)| {
        let (_, name) = root.rsplit_once('/')?;
        Some(format!("{name}/src/{file}:{line}"))
    });
    inside.unwrap_or_else(|| format!("{file}:{line}"))
}

fn put_hook() {
    let outer = take_hook();
    set_hook(Box::new(move |panic| {
        if INSIDE.get() {
            PLACE.set(panic.location().map(|at| place(at.file(), at.line())));
        } else {
            outer(panic);
        }
    }));
}

fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}

#[cfg(test)]
mod tests {
    use super::{place, shield};

    #[test]
    fn a_panic_becomes_its_message() {
        let caught = shield(|| -> u32 { panic!("axis {} is missing", 3) }).unwrap_err();
        assert!(caught.contains("axis 3 is missing"), "{caught}");
        assert!(caught.contains("tensor/src/shield.rs:"), "{caught}");
        let elsewhere = "/home/me/.cargo/registry/src/index-1949/tract-core-0.23.9/src/ops/mod.rs";
        assert_eq!(place(elsewhere, 7), "tract-core-0.23.9/src/ops/mod.rs:7");
    }

    #[test]
    fn a_result_passes_through() {
        assert_eq!(shield(|| 7), Ok(7));
    }
}
