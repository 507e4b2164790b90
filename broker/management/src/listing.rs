//! Lists as the API answers them: filtered by name, sorted by any field, in pages, with the columns that are wanted.
//!
//! Sorting by a field renders that one column of every row and nothing else; only the rows of the page are rendered whole. So
//! ten thousand queues cost milliseconds, and the work is cut into slices between which the shard does other things.

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::http::{Query, Response, Status};
use crate::json::{Columns, at_path};

/// Items of a page if nothing is said.
const PAGE_SIZE_DEFAULT: usize = 100;
/// Items of a page at most.
const PAGE_SIZE_MAX: usize = 500;
/// Bytes of a name filter.
const FILTER_MAX: usize = 1024;
/// Bytes that a filter's automaton may occupy; matching takes time in proportion to the name whatever the filter is.
const FILTER_PROGRAM_MAX: usize = 256 * 1024;
/// Rows handled before others may run.
const SLICE: usize = 256;

/// What a request says about the list that it wants.
#[derive(Debug)]
pub(crate) struct Options {
    page: Option<Page>,
    filter: Option<Filter>,
    sort: Option<String>,
    reverse: bool,
    columns: Columns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    number: usize,
    size: usize,
}

#[derive(Debug)]
enum Filter {
    Contains(String),
    Matches(Regex),
}

impl Options {
    /// # Errors
    /// Numbers that are none, a filter that is no regular expression.
    pub(crate) fn parse(query: &Query) -> Result<Options, Failure> {
        Ok(Options {
            page: page(query)?,
            filter: filter(query)?,
            sort: query.get("sort").filter(|field| !field.is_empty()).map(str::to_owned),
            reverse: query.is_true("sort_reverse"),
            columns: Columns::parse(query.get("columns")),
        })
    }
}

fn page(query: &Query) -> Result<Option<Page>, Failure> {
    let number = |name: &str, default: usize, max: usize| match query.get(name) {
        None => Ok(default),
        Some(text) => match text.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(number),
            _ => Err(Failure::BadRequest(format!("{name} must be a number from 1 to {max}, not '{text}'"))),
        },
    };
    if query.get("page").is_none() && !query.is_true("pagination") {
        return Ok(None);
    }
    let (number, size) = (number("page", 1, usize::MAX)?, number("page_size", PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)?);
    Ok(Some(Page { number, size }))
}

fn filter(query: &Query) -> Result<Option<Filter>, Failure> {
    let Some(text) = query.get("name").filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.len() > FILTER_MAX {
        return Err(Failure::BadRequest(format!("a name filter has at most {FILTER_MAX} bytes")));
    }
    if !query.is_true("use_regex") {
        return Ok(Some(Filter::Contains(text.to_lowercase())));
    }
    let regex = RegexBuilder::new(text).case_insensitive(true).size_limit(FILTER_PROGRAM_MAX).build();
    regex
        .map(Filter::Matches)
        .map(Some)
        .map_err(|error| Failure::BadRequest(format!("invalid regular expression: {error}")))
}

impl Filter {
    fn lets_pass(&self, name: &str) -> bool {
        match self {
            Filter::Contains(text) => name.to_lowercase().contains(text),
            Filter::Matches(regex) => regex.is_match(name),
        }
    }
}

/// Something that is listed.
pub(crate) trait Row {
    /// What filters look at.
    fn name(&self) -> &str;
    /// The columns of it that are wanted.
    fn render(&self, columns: &Columns) -> Value;
}

impl Row for Value {
    fn name(&self) -> &str {
        self.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    fn render(&self, columns: &Columns) -> Value {
        match self {
            Value::Object(object) => Value::Object(columns.select(object.clone())),
            other => other.clone(),
        }
    }
}

/// The answer to a list request. `pause` lets others run.
pub(crate) fn answer<R: Row>(rows: Vec<R>, options: &Options, pause: &dyn Fn()) -> Result<Response, Failure> {
    let total = rows.len();
    let mut rows = match &options.filter {
        Some(filter) => rows.into_iter().filter(|row| filter.lets_pass(row.name())).collect(),
        None => rows,
    };
    if let Some(field) = &options.sort {
        rows = sort(rows, field, pause);
    }
    if options.reverse {
        rows.reverse();
    }
    let Some(page) = options.page else {
        return Ok(Response::json_bytes(Status::Ok, render(&rows, &options.columns, pause)));
    };
    let (filtered, first) = (rows.len(), (page.number - 1).saturating_mul(page.size));
    if first > filtered || (first == filtered && page.number > 1) {
        let text = format!("Page out of range, page: {} page size: {}, len: {filtered}", page.number, page.size);
        return Err(Failure::PageOutOfRange(text));
    }
    let items = &rows[first..filtered.min(first + page.size)];
    let head = json!({
        "filtered_count": filtered,
        "item_count": items.len(),
        "page": page.number,
        "page_count": filtered.div_ceil(page.size),
        "page_size": page.size,
        "total_count": total,
    });
    let mut body = head.to_string().into_bytes();
    body.pop();
    body.extend_from_slice(b",\"items\":");
    body.extend(render(items, &options.columns, pause));
    body.push(b'}');
    Ok(Response::json_bytes(Status::Ok, body))
}

fn render<R: Row>(rows: &[R], columns: &Columns, pause: &dyn Fn()) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            out.push(b',');
            if index % SLICE == 0 {
                pause();
            }
        }
        out.extend(row.render(columns).to_string().into_bytes());
    }
    out.push(b']');
    out
}

fn sort<R: Row>(rows: Vec<R>, field: &str, pause: &dyn Fn()) -> Vec<R> {
    let column = Columns::parse(Some(field));
    let mut keyed = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        if index % SLICE == SLICE - 1 {
            pause();
        }
        keyed.push((Key::of(at_path(&row.render(&column), field)), row));
    }
    keyed.sort_by(|(a, _), (b, _)| a.compare(b));
    keyed.into_iter().map(|(_, row)| row).collect()
}

/// A value by which rows are sorted: what has none comes first, then numbers, then texts.
#[derive(Debug)]
enum Key {
    None,
    Number(f64),
    Text(String),
}

impl Key {
    fn of(value: Option<&Value>) -> Key {
        match value {
            None | Some(Value::Null) => Key::None,
            Some(Value::Bool(value)) => Key::Number(f64::from(u8::from(*value))),
            Some(Value::Number(number)) => Key::Number(number.as_f64().unwrap_or_default()),
            Some(Value::String(text)) => Key::Text(text.clone()),
            Some(other) => Key::Text(other.to_string()),
        }
    }

    fn compare(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Number(a), Key::Number(b)) => a.total_cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::None => 0,
            Key::Number(_) => 1,
            Key::Text(_) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Value> {
        ["b", "a", "C", "ab"]
            .iter()
            .enumerate()
            .map(|(n, name)| json!({"name": name, "n": n, "s": {"x": 3 - n}}))
            .collect()
    }

    fn outcome(query: &str) -> Result<Value, String> {
        let options = Options::parse(&Query::parse(query));
        let answer = options.and_then(|options| answer(rows(), &options, &|| ()));
        let response = answer.map_err(|failure| failure.reason())?;
        Ok(serde_json::from_slice(response.body.as_bytes()).expect("an answer is JSON"))
    }

    #[test]
    fn lists_are_filtered_sorted_and_reverted() {
        let check = |query: &str, expected: &[&str]| {
            let list = outcome(query).unwrap();
            let names: Vec<_> = list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
            assert_eq!(names, expected, "{query}");
        };
        check("", &["b", "a", "C", "ab"]);
        check("sort=name", &["C", "a", "ab", "b"]);
        check("sort=s.x", &["ab", "C", "a", "b"]);
        check("sort=n&sort_reverse=true", &["ab", "C", "a", "b"]);
        check("sort=none", &["b", "a", "C", "ab"]);
        check("name=B", &["b", "ab"]);
        check("name=%5Ea&use_regex=true", &["a", "ab"]);
        check("name=c&use_regex=true", &["C"]);
    }

    #[test]
    fn pages_say_where_they_are() {
        let page = outcome("page=2&page_size=3&sort=name&columns=name").unwrap();
        assert_eq!(
            page,
            json!({"page": 2, "page_count": 2, "page_size": 3, "item_count": 1, "filtered_count": 4, "total_count": 4,
                   "items": [{"name": "b"}]})
        );
        assert_eq!(outcome("pagination=true").unwrap()["page_size"], 100);
        assert_eq!(outcome("page=1&name=none").unwrap()["page_count"], 0);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |query: &str, expected: &str| {
            let reason = outcome(query).unwrap_err();
            assert!(reason.starts_with(expected), "{query}: {reason}");
        };
        check("page=3&page_size=2", "Page out of range, page: 3 page size: 2, len: 4");
        check("page=2&page_size=4", "Page out of range");
        check("page=99999999999999&page_size=500", "Page out of range");
        check("page=0", "page must be a number");
        check("page=x", "page must be a number");
        check("page=1&page_size=501", "page_size must be a number from 1 to 500");
        check("name=(&use_regex=true", "invalid regular expression");
        check(&format!("name={}", "x".repeat(FILTER_MAX + 1)), "a name filter has at most");
        check("name=(a%7B1000%7D)%7B1000%7D&use_regex=true", "invalid regular expression");
    }
}
