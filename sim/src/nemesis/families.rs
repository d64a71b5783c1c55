//! A family of faults, and how many faults of each a plan has.

use std::collections::BTreeMap;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Draw, families};
use crate::plan::TimedFault;

/// Faults that are drawn alike.
pub struct Family {
    /// Its name: in profiles, in options, and of the stream that it draws from.
    pub name: &'static str,
    /// What goes wrong, in a sentence.
    pub about: &'static str,
    /// Draws so many. Some take several faults for each.
    pub(super) draw: fn(&mut Draw<'_>, u32) -> Vec<TimedFault>,
}

impl Family {
    /// The family of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        families().find(|family| family.name == name)
    }
}

/// How many faults of each family a plan has. Those that are not named have none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultOptions(BTreeMap<&'static str, u32>);

impl FaultOptions {
    /// So many of each of these.
    ///
    /// # Panics
    /// If there is no family of such a name.
    #[must_use]
    pub fn of(counts: &[(&str, u32)]) -> Self {
        let mut options = Self::default();
        for &(name, count) in counts {
            options.set(name, count);
        }
        options
    }

    /// From now on so many of a family.
    ///
    /// # Panics
    /// If there is no family of this name.
    pub fn set(&mut self, name: &str, count: u32) {
        let family = Family::by_name(name).expect("whoever sets a count knows the families");
        if count == 0 {
            self.0.remove(family.name);
        } else {
            self.0.insert(family.name, count);
        }
    }

    /// How many of a family.
    #[must_use]
    pub fn count(&self, name: &str) -> u32 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// The families of which there are some, in the order of all.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Family, u32)> {
        let counted = families().map(|family| (family, self.count(family.name)));
        counted.filter(|(_, count)| *count > 0)
    }
}

/// A map by name.
impl Serialize for FaultOptions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FaultOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut options = Self::default();
        for (name, count) in BTreeMap::<String, u32>::deserialize(deserializer)? {
            let family = Family::by_name(&name).ok_or_else(|| {
                let known: Vec<&str> = families().map(|family| family.name).collect();
                let known = known.join(", ");
                D::Error::custom(format!(
                    "there is no family of faults `{name}`; there are: {known}"
                ))
            })?;
            options.set(family.name, count);
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_kept_by_name_and_none_of_a_family_is_not_kept() {
        let options = FaultOptions::of(&[("crashes", 2), ("pauses", 0), ("echoes", 1)]);
        let text = serde_json::to_string(&options).expect("plain data");
        assert_eq!(text, r#"{"crashes":2,"echoes":1}"#);
        let read: FaultOptions =
            serde_json::from_str(r#"{"crashes":2,"pauses":0,"echoes":1}"#).expect("all are known");
        assert_eq!(read, options);
        let unknown = serde_json::from_str::<FaultOptions>(r#"{"crash":2}"#);
        let message = unknown.expect_err("there is no such family").to_string();
        assert!(message.contains("no family of faults `crash`"), "{message}");
        assert!(message.contains("crashes, power_failures"), "{message}");
    }
}
