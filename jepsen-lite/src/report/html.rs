//! The report as a page: one file, with its style, its script and its data inside.
//!
//! All that is said is in the page as text, for people without the script, for those who search and for those
//! who listen. The script adds the figures. Whatever comes from a history is escaped here, or set by the
//! script as text, so that no value can become a part of the page.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::document::Document;
use super::story::{Story, StoryOp};
use super::text::interval;
use crate::verdict::VerdictKind;

const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

pub(crate) fn render(document: &Document) -> String {
    let mut page = String::new();
    write(&mut page, document).expect("writing to a string never fails");
    page
}

/// Text that cannot be taken for a part of the page.
struct Escaped<'t>(&'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

fn write(page: &mut String, document: &Document) -> fmt::Result {
    let name = document.context.name.as_deref().unwrap_or("a history");
    let verdict = document.verdict.to_string().to_lowercase();
    let title = match document.stories.first() {
        Some(story) => format!("{} in {} — {name}", story.kind, story.subject),
        None => format!("{verdict} — {name}"),
    };
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body data-verdict=\"{verdict}\">\n",
        Escaped(&title)
    )?;
    write!(
        page,
        "<header><strong class=\"verdict\">{verdict}</strong> <span>{}</span> \
         <span class=\"quiet\">{} operations; {}</span></header>\n<main>\n",
        Escaped(name),
        document.extent.operations,
        Escaped(&document.extent.operations_by_kind)
    )?;
    navigation(page, document)?;
    let mut ids = BTreeSet::new();
    for story in &document.stories {
        tell(page, story, &mut ids)?;
    }
    if document.stories.is_empty() {
        nothing_found(page, document)?;
    }
    figures(page, document)?;
    summary(page, document)?;
    page.push_str("</main>\n<script type=\"application/json\" id=\"data\">");
    let data = serde_json::json!({ "plot": document.plot, "lanes": document.context.lanes });
    // In JSON, `<` stands in strings only, where it may be written so; then no tag can end the element.
    page.push_str(&data.to_string().replace('<', "\\u003c"));
    write!(
        page,
        "</script>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn navigation(page: &mut String, document: &Document) -> fmt::Result {
    if document.stories.len() < 2 {
        return Ok(());
    }
    page.push_str("<nav aria-label=\"Anomalies\"><h2>Anomalies</h2><ol>\n");
    for story in &document.stories {
        let ops: Vec<String> = story
            .certificate
            .iter()
            .map(|op| op.op.to_string())
            .collect();
        writeln!(
            page,
            "<li><a href=\"#{id}\" data-story=\"{id}\"><b>{kind}</b> in {subject} \
             <span class=\"quiet\">{check}, op {ops}</span></a></li>",
            id = Escaped(&story.id),
            kind = Escaped(&story.kind),
            subject = Escaped(&story.subject),
            check = Escaped(&story.check),
            ops = ops.join(", ")
        )?;
    }
    page.push_str("</ol></nav>\n");
    Ok(())
}

fn tell(page: &mut String, story: &Story, ids: &mut BTreeSet<u32>) -> fmt::Result {
    write!(
        page,
        "<article class=\"story\" id=\"{id}\" data-kind=\"{kind}\">\n<h1>{kind} <small>in {subject}, \
         found by {check}</small></h1>\n<p class=\"guarantee\">Broken: {guarantee}.</p>\n\
         <dl class=\"outcome\"><div class=\"good\"><dt>Expected</dt><dd>{expected}</dd></div>\
         <div class=\"bad\"><dt>Seen</dt><dd>{seen}</dd></div>",
        id = Escaped(&story.id),
        kind = Escaped(&story.kind),
        subject = Escaped(&story.subject),
        check = Escaped(&story.check),
        guarantee = Escaped(&story.guarantee),
        expected = Escaped(&story.expected),
        seen = Escaped(&story.seen),
    )?;
    if let Some(nearest) = &story.nearest {
        write!(
            page,
            "<div class=\"good nearest\"><dt>Nearest legal outcome</dt><dd>{}</dd></div>",
            ticked(&nearest.sentence())
        )?;
    }
    page.push_str(
        "</dl>\n<div class=\"evidence\"><section><h2>Certificate</h2>\n<ol class=\"ops\">\n",
    );
    for op in &story.certificate {
        // An operation may be in several certificates, but an id on a page is there once.
        let id = match ids.insert(op.op) {
            true => format!("op-{}", op.op),
            false => format!("{}-op-{}", story.id, op.op),
        };
        operation(page, op, &format!(" id=\"{id}\" class=\"certified\""), "")?;
    }
    page.push_str(
        "</ol></section>\n<section><h2>Why they cannot all be right</h2>\n<ul class=\"arrows\">\n",
    );
    for arrow in &story.arrows {
        let ends = match arrow.from == arrow.to {
            true => format!("op {}", arrow.from),
            false => format!("op {} → op {}", arrow.from, arrow.to),
        };
        writeln!(
            page,
            "<li data-from=\"{}\" data-to=\"{}\" data-reason=\"{}\"><b>{ends}</b> {}</li>",
            arrow.from,
            arrow.to,
            Escaped(&arrow.reason),
            Escaped(&arrow.text)
        )?;
    }
    page.push_str("</ul></section></div>\n<div class=\"figures-here\"></div>\n");
    let minimal = &story.minimal;
    write!(
        page,
        "<details{}><summary>Minimal sub-history <span class=\"quiet\">{} operation{}{}</span></summary>\
         <p>{}</p>\n<ol class=\"ops\">\n",
        if minimal.ops == story.certificate {
            ""
        } else {
            " open"
        },
        minimal.ops.len(),
        if minimal.ops.len() == 1 { "" } else { "s" },
        match minimal.positions.is_empty() {
            true => String::new(),
            false => format!(", looked at for {}", Escaped(&minimal.positions.join(", "))),
        },
        Escaped(&minimal.proof.sentence())
    )?;
    for op in &minimal.ops {
        let optional = minimal.optional.contains(&op.op);
        let note = if optional {
            "may never have taken effect"
        } else {
            ""
        };
        operation(page, op, "", note)?;
    }
    page.push_str("</ol></details>\n");
    if !story.around.is_empty() {
        page.push_str("<details><summary>Operations around it</summary>\n<ol class=\"ops\">\n");
        for op in &story.around {
            operation(page, op, "", "")?;
        }
        page.push_str("</ol></details>\n");
    }
    page.push_str("</article>\n");
    Ok(())
}

/// Escaped, with what stands between backticks as code.
fn ticked(sentence: &str) -> String {
    let pieces = sentence.split('`').enumerate();
    let pieces = pieces.map(|(number, piece)| match number % 2 {
        0 => Escaped(piece).to_string(),
        _ => format!("<code>{}</code>", Escaped(piece)),
    });
    pieces.collect()
}

fn operation(page: &mut String, op: &StoryOp, attributes: &str, note: &str) -> fmt::Result {
    writeln!(
        page,
        "<li{attributes} data-op=\"{number}\" data-process=\"{process}\" data-status=\"{status:?}\">\
         <b>op {number}</b> <i>p{process}</i> <code>{words}</code> <span class=\"quiet\">{interval}{note}</span></li>",
        number = op.op,
        process = op.process,
        status = op.status,
        words = Escaped(&op.words()),
        interval = Escaped(&interval(op)),
        note = match note {
            "" => String::new(),
            note => format!(" {}", Escaped(note)),
        }
    )
}

fn nothing_found(page: &mut String, document: &Document) -> fmt::Result {
    let (headline, sentence) = match document.verdict {
        VerdictKind::Valid => (
            "Valid",
            "Nothing is wrong with this history, as far as was checked.",
        ),
        VerdictKind::Unknown => ("Unknown", "The history does not say enough."),
        VerdictKind::Invalid => ("Invalid", "The anomalies were counted, but none was kept."),
    };
    writeln!(
        page,
        "<article><h1>{headline}</h1><p class=\"guarantee\">{sentence}</p></article>"
    )
}

/// Where the script draws.
fn figures(page: &mut String, document: &Document) -> fmt::Result {
    let (drawn, total) = document.plot.counts();
    if drawn == 0 {
        return Ok(());
    }
    page.push_str(
        "<section id=\"figures\" hidden>\n<div class=\"tools\" role=\"toolbar\" aria-label=\"Figures\">\
         <button data-do=\"focus\">Certificate</button><button data-do=\"all\">Everything</button>\
         <button data-do=\"in\" aria-label=\"Zoom in\">+</button>\
         <button data-do=\"out\" aria-label=\"Zoom out\">−</button>\
         <button data-do=\"left\" aria-label=\"Earlier\">←</button>\
         <button data-do=\"right\" aria-label=\"Later\">→</button>\
         <button data-do=\"clock\" aria-pressed=\"false\">Real time</button>\
         <output id=\"pointed\" class=\"quiet\">Wheel: zoom. Drag: move. Point at an operation to read it.</output></div>\n",
    );
    if document.plot.is_of_logs() {
        page.push_str(
            "<figure id=\"plane\" tabindex=\"0\"><figcaption><b>LSN × time.</b> \
             <span class=\"key must\">must be in the log</span> \
             <span class=\"key cannot\">not yet asked for</span> \
             <span class=\"key append\">append</span> <span class=\"key exact\">the log ends here</span> \
             <span class=\"key least\">the log reaches up to here</span> \
             An operation that lies wholly within a shaded area contradicts others.</figcaption><div class=\"canvas\"><canvas></canvas>\
             <svg aria-hidden=\"true\"></svg></div></figure>\n",
        );
    }
    page.push_str(
        "<figure id=\"clients\" tabindex=\"0\"><figcaption><b>Clients.</b> One lane for each process; one that is done makes room for the next. \
         <span class=\"quiet\" id=\"more-lanes\"></span></figcaption><div class=\"canvas\"><canvas></canvas>\
         <svg aria-hidden=\"true\"></svg></div></figure>\n",
    );
    if !document.context.lanes.is_empty() {
        page.push_str(
            "<figure id=\"replicas\" tabindex=\"0\"><figcaption><b>Replicas.</b></figcaption>\
             <div class=\"canvas\"><canvas></canvas><svg aria-hidden=\"true\"></svg></div></figure>\n",
        );
    }
    if drawn < total {
        writeln!(
            page,
            "<p class=\"quiet\">Drawn are {drawn} of {total} operations: those around the certificates.</p>"
        )?;
    }
    page.push_str("</section>\n");
    Ok(())
}

fn summary(page: &mut String, document: &Document) -> fmt::Result {
    let extent = &document.extent;
    page.push_str("<section class=\"summary\">\n<h2>Extent and confidence</h2>\n<ul>\n");
    for (kind, count) in &extent.anomalies {
        writeln!(page, "<li><b>{count}</b> {}</li>", Escaped(kind))?;
    }
    if !extent.anomalies.is_empty() {
        writeln!(
            page,
            "<li>{} told here; certificates hold {} of {} operations, in {} of {} parts</li>",
            extent.told,
            extent.operations_touched,
            extent.operations,
            extent.parts_touched,
            extent.parts
        )?;
    }
    for sentence in &document.confidence {
        writeln!(page, "<li>{}</li>", Escaped(sentence))?;
    }
    page.push_str("</ul>\n");
    if !document.context.facts.is_empty() {
        page.push_str("<h2>The run</h2>\n<dl class=\"context\">\n");
        for fact in &document.context.facts {
            writeln!(
                page,
                "<dt>{}</dt><dd>{}</dd>",
                Escaped(&fact.key),
                Escaped(&fact.value)
            )?;
        }
        page.push_str("</dl>\n");
    }
    lanes_as_text(page, document)?;
    parts(page, document)?;
    page.push_str("</section>\n");
    Ok(())
}

fn lanes_as_text(page: &mut String, document: &Document) -> fmt::Result {
    if document.context.lanes.is_empty() {
        return Ok(());
    }
    page.push_str("<details><summary>Replicas, as text</summary><ul>\n");
    for lane in &document.context.lanes {
        for span in &lane.spans {
            let until = span.to_ns.map_or_else(String::new, |to| to.to_string());
            writeln!(
                page,
                "<li>{}: {}, {}..{until} ns</li>",
                Escaped(&lane.name),
                Escaped(&span.label),
                span.from_ns
            )?;
        }
    }
    page.push_str("</ul></details>\n");
    Ok(())
}

/// More parts than this are only counted.
const MAX_PARTS: usize = 200;

fn parts(page: &mut String, document: &Document) -> fmt::Result {
    let total = document.parts.len();
    // The bad ones first.
    let mut parts: Vec<_> = document.parts.iter().collect();
    parts.sort_by_key(|part| std::cmp::Reverse(part.verdict));
    write!(
        page,
        "<details{}><summary>Verdicts, part by part</summary>\n<table><thead><tr><th>Part</th>\
         <th>Operations</th><th>Check</th><th>Verdict</th><th></th></tr></thead><tbody>\n",
        if total <= 5 { " open" } else { "" }
    )?;
    for part in parts.iter().take(MAX_PARTS) {
        for (row, check) in part.checks.iter().enumerate() {
            let (subject, operations) = match row {
                0 => (part.subject.as_str(), part.operations.to_string()),
                _ => ("", String::new()),
            };
            let verdict = check.verdict.to_string().to_lowercase();
            writeln!(
                page,
                "<tr><td>{}</td><td>{operations}</td><td>{}</td><td class=\"{verdict}\">{verdict}</td><td>{}</td></tr>",
                Escaped(subject),
                Escaped(&check.check),
                Escaped(&check.says)
            )?;
        }
    }
    page.push_str("</tbody></table>");
    if total > MAX_PARTS {
        write!(page, "<p>and {} more parts</p>", total - MAX_PARTS)?;
    }
    page.push_str("</details>\n");
    Ok(())
}
