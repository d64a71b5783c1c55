//! Writing a capsule so that people can read and edit it: a fault, a move, an operation is a line.

use serde::Serialize;

use super::Capsule;

impl Capsule {
    /// The capsule as JSON, with a line for each fault, move and operation.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut fields = vec![
            field("format", &compact(&self.format)),
            field("revision", &compact(&self.revision)),
        ];
        if !self.about.is_empty() {
            fields.push(field("about", &compact(&self.about)));
        }
        fields.push(field("outcome", &compact(&self.outcome)));
        fields.push(field("signature", &compact(&self.signature)));
        fields.push(field("trace_hash", &compact(&self.trace_hash)));
        if self.stop_at_violation {
            fields.push(field("stop_at_violation", "true"));
        }
        fields.push(field("options", &indented(&self.options)));
        let mut plan = vec![field("faults", &lines(&self.plan.faults, 4))];
        if !self.plan.moves.is_empty() {
            plan.push(field("moves", &lines(&self.plan.moves, 4)));
        }
        let plan: Vec<String> = plan.iter().map(|it| format!("    {it}")).collect();
        fields.push(field("plan", &format!("{{\n{}\n  }}", plan.join(",\n"))));
        if let Some(operations) = &self.operations {
            fields.push(field("operations", &lines(operations, 2)));
        }
        let fields: Vec<String> = fields.iter().map(|it| format!("  {it}")).collect();
        format!("{{\n{}\n}}\n", fields.join(",\n"))
    }
}

fn field(name: &str, value: &str) -> String {
    format!("\"{name}\": {value}")
}

fn compact(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a capsule is plain data")
}

fn indented(value: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("a capsule is plain data");
    text.replace('\n', "\n  ")
}

fn lines(values: &[impl Serialize], indent: usize) -> String {
    if values.is_empty() {
        return "[]".to_owned();
    }
    let indent = " ".repeat(indent);
    let lines: Vec<String> = values
        .iter()
        .map(|it| format!("{indent}  {}", compact(it)))
        .collect();
    format!("[\n{}\n{indent}]", lines.join(",\n"))
}
