//! `doctor`: why players are not reached.

use crate::{
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{Client, Diagnosis, Error, Finding, Severity, Sureness, Who};
use serde_json::json;
use std::{fs::File, io::Write, path::Path};

/// [`Exit::Found`] if something blocks or hinders.
pub(crate) async fn doctor(client: &Client, page: &Page, who: Option<Who>) -> Result<Exit, Failure> {
    let diagnosis = client.doctor(who).await?;
    page.show(&diagnosis, |Diagnosis { findings }| text(findings))?;
    let is_wrong = |finding: &Finding| matches!(finding.severity, Severity::Blocks | Severity::Hinders);
    Ok(if diagnosis.findings.iter().any(is_wrong) { Exit::Found } else { Exit::Done })
}

/// Writes the bundle to a file that does not exist.
pub(crate) async fn bundle(
    client: &Client,
    page: &Page,
    who: Option<Who>,
    file: &Path,
) -> Result<Exit, Failure> {
    let text = client.doctor_bundle(who).await?;
    let unwritten = |source| Error::Path { path: file.to_owned(), source };
    let mut new = File::create_new(file).map_err(unwritten)?;
    new.write_all(text.as_bytes()).map_err(unwritten)?;
    page.show(&json!({ "file": file }), |_| {
        format!("{} is without names, keys and whole addresses. Read it before you send it.", file.display())
    })?;
    Ok(Exit::Done)
}

/// A line for each finding, and one for what helps.
fn text(findings: &[Finding]) -> String {
    let mut rows = Vec::new();
    for Finding { severity, sure, sentence, help, .. } in findings {
        let severity = match severity {
            Severity::Blocks => "blocks",
            Severity::Hinders => "hinders",
            Severity::Note => "note",
            Severity::Unknown => "?",
        };
        let sure = match sure {
            Sureness::Certain | Sureness::Unknown => "",
            Sureness::Likely => "likely: ",
            Sureness::Possible => "possibly: ",
        };
        rows.push([severity.to_owned(), format!("{sure}{sentence}.")]);
        rows.extend(help.iter().map(|help| [String::new(), help.clone()]));
    }
    words::table(0, &rows)
}
