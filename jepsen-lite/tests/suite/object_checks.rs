//! The checks of objects.
