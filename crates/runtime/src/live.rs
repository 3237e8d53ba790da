//! What the config file says now: set by whoever reads it, taken up by the loops between two steps.

use std::sync::{Arc, Mutex, PoisonError};

/// A value that is replaced whole, never in part.
#[derive(Debug)]
pub struct Live<T>(Mutex<Arc<T>>);

impl<T> Live<T> {
    #[must_use]
    pub fn new(value: impl Into<Arc<T>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(value.into())))
    }

    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set(&self, value: impl Into<Arc<T>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value.into();
    }

    /// The value, if it is another than `known`, which it then is.
    pub(crate) fn take_up(&self, known: &mut Arc<T>) -> bool {
        let now = self.get();
        let changed = !Arc::ptr_eq(&now, known);
        *known = now;
        changed
    }
}
