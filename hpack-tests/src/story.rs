//! [`Story`]: the header blocks of one connection as recorded in a JSON file.

use crate::Fields;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// One recorded connection, in the format of the `hpack-test-case` collection that HPACK implementations
/// share.
pub struct Story {
    /// The file's name, for messages.
    pub name: String,
    /// The blocks in their order.
    pub cases: Vec<Case>,
}

/// One header block of a story.
pub struct Case {
    /// The decoder's SETTINGS_HEADER_TABLE_SIZE from this block on, if it is said.
    pub header_table_size: Option<usize>,
    /// The block as encoded; missing where only the fields were recorded.
    pub wire: Option<Vec<u8>>,
    /// The fields it stands for.
    pub headers: Fields,
    /// The names of the fields that the block marks as never to be indexed. Our own addition to the format.
    pub never_indexed: Vec<Vec<u8>>,
}

impl Story {
    /// Reads a story from a JSON file.
    ///
    /// # Errors
    ///
    /// In words, if the file can't be read or isn't a story.
    pub fn read(path: &Path) -> Result<Story, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Story::parse(name, &text).ok_or_else(|| format!("{}: not a story", path.display()))
    }

    fn parse(name: String, text: &str) -> Option<Story> {
        let json: Value = serde_json::from_str(text).ok()?;
        let cases = json.get("cases")?.as_array()?.iter().map(Case::parse).collect::<Option<_>>()?;
        Some(Story { name, cases })
    }

    /// The story as JSON in the same format.
    pub fn to_json(&self, description: &str) -> String {
        let cases: Vec<Value> =
            self.cases.iter().enumerate().map(|(seqno, case)| case.to_json(seqno)).collect();
        let json = serde_json::json!({ "description": description, "cases": cases });
        format!("{json:#}\n")
    }
}

impl Case {
    fn parse(json: &Value) -> Option<Case> {
        let size = json.get("header_table_size").map(|size| size.as_u64());
        let wire = json.get("wire").map(|wire| unhex(wire.as_str()?));
        let never = json.get("never_indexed").map(|names| names.as_array());
        Some(Case {
            // A key that is there must hold what belongs there.
            header_table_size: size.map_or(Some(None), |size| usize::try_from(size?).ok().map(Some))?,
            wire: wire.map_or(Some(None), |wire| wire.map(Some))?,
            headers: json.get("headers")?.as_array()?.iter().map(field).collect::<Option<_>>()?,
            never_indexed: match never {
                Some(names) => {
                    names?.iter().map(|name| Some(name.as_str()?.into())).collect::<Option<_>>()?
                }
                None => Vec::new(),
            },
        })
    }

    fn to_json(&self, seqno: usize) -> Value {
        let text = |octets: &[u8]| Value::from(String::from_utf8_lossy(octets));
        let field = |(name, value): &(Vec<u8>, Vec<u8>)| {
            Value::Object([(String::from_utf8_lossy(name).into_owned(), text(value))].into_iter().collect())
        };
        let mut json = serde_json::Map::new();
        json.insert("seqno".to_owned(), seqno.into());
        if let Some(size) = self.header_table_size {
            json.insert("header_table_size".to_owned(), size.into());
        }
        if let Some(wire) = &self.wire {
            json.insert(
                "wire".to_owned(),
                wire.iter().map(|octet| format!("{octet:02x}")).collect::<String>().into(),
            );
        }
        json.insert("headers".to_owned(), self.headers.iter().map(field).collect());
        if !self.never_indexed.is_empty() {
            json.insert(
                "never_indexed".to_owned(),
                self.never_indexed.iter().map(|name| text(name)).collect(),
            );
        }
        Value::Object(json)
    }
}

/// An object with one member.
fn field(json: &Value) -> Option<(Vec<u8>, Vec<u8>)> {
    let (name, value) = json.as_object()?.iter().next()?;
    Some((name.clone().into_bytes(), value.as_str()?.into()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |octet: u8| char::from(octet).to_digit(16);
    pairs.iter().map(|&[high, low]| u8::try_from(digit(high)? * 16 + digit(low)?).ok()).collect()
}

/// The paths of the stories in a folder, in the order of their names.
///
/// # Errors
///
/// If the folder can't be read.
pub fn stories_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}
