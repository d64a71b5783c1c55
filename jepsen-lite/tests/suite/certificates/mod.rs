//! Certificates judged again, each for itself.
//!
//! The judges here work from the definition of the property that a certificate says is broken, and share no
//! code with the checkers. Of a history they know only the operations of the certificate, and of reads only
//! what they say of its positions or elements. Whatever could have been so is tried: what a position held,
//! how far a log had come, in which order things took effect. If nothing explains the operations, the
//! certificate is a proof.
//!
//! Where a property speaks of what is *not* there, no few operations can prove that it is broken: a record that
//! nobody appended, an element that never came out. Then the judge is also given all that could be an excuse,
//! which each judge says.

mod logs;
mod objects;
