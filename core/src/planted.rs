//! Planted bugs: one changed decision each, to show that the harness would find a real one.
//!
//! Product code marks such a decision with [`planted!`](crate::planted), and in no other way:
//!
//! ```
//! # let retired = false; let recovered = true;
//! // Answers leave only once every older epoch is recovered.
//! let may_answer = recovered || hstore_core::planted!("ack-before-recovery");
//! # assert!(may_answer);
//! ```
//!
//! Without the feature `planted` the macro is the constant `false` and the name is not compiled.
//! With it, the bug is on where the host's thread says so. The simulator runs a seed on a thread of
//! its own, so seeds with different bugs run side by side.

#[cfg(feature = "planted")]
mod active {
    use std::cell::{Cell, RefCell};

    thread_local! {
        static ACTIVE: RefCell<Option<String>> = const { RefCell::new(None) };
        static REACHED: Cell<u64> = const { Cell::new(0) };
    }

    /// Turns the bug of this name on, for this thread; `None` turns it off. Forgets how often a bug
    /// was reached.
    pub fn activate(name: Option<&str>) {
        ACTIVE.with_borrow_mut(|active| *active = name.map(str::to_owned));
        REACHED.set(0);
    }

    /// How often the decision that the active bug changes was taken.
    #[must_use]
    pub fn reached() -> u64 {
        REACHED.get()
    }

    /// Whether the bug of this name is on. Called by [`planted!`](crate::planted) alone.
    #[must_use]
    pub fn is_active(name: &str) -> bool {
        let on = ACTIVE.with_borrow(|active| active.as_deref() == Some(name));
        if on {
            REACHED.set(REACHED.get() + 1);
        }
        on
    }
}

#[cfg(feature = "planted")]
pub use active::{activate, is_active, reached};

/// Whether the planted bug of this name is on: see [`planted`](mod@crate::planted).
#[cfg(feature = "planted")]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is_active($name)
    };
}

/// Always false: planted bugs are not compiled in.
#[cfg(not(feature = "planted"))]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}
