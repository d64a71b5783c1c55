//! Traces for other tools: Perfetto shows them on a time line, ShiViz as who could have caused what.

pub mod perfetto;
pub mod shiviz;
