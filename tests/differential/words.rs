//! What two brokers may say differently without meaning anything else, and what RabbitMQ 3.10 says otherwise than those that we follow.
//!
//! Every exception stands here, with its reason; whatever else differs is a defect of ours. Some cannot be expressed as words, because what follows
//! them differs too: scripts do without these.
//!
//! | not in scripts | why |
//! | --- | --- |
//! | an exchange type that does not exist | closes the connection (503) in 3.10, the channel (406) since 4.3 |
//! | `x-queue-mode` | checked in 3.10, ignored since 4.0 |
//! | a mortal message behind one that lives longer | 3.10 frees and dead-letters it only at the head of the queue, we at its time |

/// Headers that tell of the last death: RabbitMQ has them since 4.0.
const NEWER_HEADERS: [&str; 3] = [" x-last-death-exchange=", " x-last-death-queue=", " x-last-death-reason="];

/// Both sides' words with what means nothing taken out: names that a broker made up, the hour of a death, the order of a table's keys.
pub(crate) fn plain(words: &str) -> String {
    let words = masked(&masked(words, "amq.gen-"), "amq.ctag-");
    let words = masked(&words, "time=T:");
    NEWER_HEADERS.iter().fold(sorted_tables(&words), |words, header| without(&words, header))
}

/// Replaces what follows each `mark`, up to the next blank or bracket.
fn masked(words: &str, mark: &str) -> String {
    let mut parts = words.split(mark);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.find([' ', ']', '}']).map_or("", |at| &part[at..]);
        out.extend([mark, "*", rest]);
    }
    out
}

/// Leaves out a header with its value, which is a plain string and not the first of its table.
fn without(words: &str, header: &str) -> String {
    let Some((before, after)) = words.split_once(header) else { return words.to_owned() };
    let rest = after.find([' ', '}']).map_or("", |at| &after[at..]);
    without(&format!("{before}{rest}"), header)
}

/// Sorts the keys of all tables, the inner ones first.
fn sorted_tables(words: &str) -> String {
    let mut stack: Vec<Vec<String>> = vec![vec![String::new()]];
    for char in words.chars() {
        let depth = stack.len() - 1;
        match char {
            '{' => stack.push(vec![String::new()]),
            '}' if depth > 0 => {
                let mut entries = stack.pop().expect("counted");
                entries.sort();
                push(&mut stack, &format!("{{{}}}", entries.join(" ")));
            }
            // Only a table's own blanks part its entries: those of a list stand inside brackets.
            ' ' if depth > 0 && !is_inside_a_list(&stack[depth]) => stack[depth].push(String::new()),
            _ => push(&mut stack, char.encode_utf8(&mut [0; 4])),
        }
    }
    stack.into_iter().flatten().collect()
}

fn is_inside_a_list(entries: &[String]) -> bool {
    let entry = entries.last().map_or("", String::as_str);
    entry.matches('[').count() > entry.matches(']').count() || entry.matches('"').count() % 2 == 1
}

fn push(stack: &mut [Vec<String>], text: &str) {
    if let Some(entry) = stack.last_mut().and_then(|entries| entries.last_mut()) {
        entry.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_taken_out() {
        let check = |words: &str, expected: &str| assert_eq!(plain(words), expected, "{words}");
        check("queue=amq.gen-x_y message-count=1", "queue=amq.gen-* message-count=1");
        check("headers={b=I:1 a=S:x}", "headers={a=S:x b=I:1}");
        check(
            "headers={x-death=A:[F:{time=T:17 count=l:1} F:{b=S:1 a=S:2}] a=S:\"q r\"} body=m",
            "headers={a=S:\"q r\" x-death=A:[F:{count=l:1 time=T:*} F:{a=S:2 b=S:1}]} body=m",
        );
        check(
            "headers={x-last-death-queue=S:q x-first=S:a x-last-death-reason=S:maxlen} body=m",
            "headers={x-first=S:a} body=m",
        );
        check("body=plain", "body=plain");
    }
}
