//! Reads server-sent events: bytes in whatever pieces they come, whole messages out.

/// Longest message that is put together. A job with all its ratings is far smaller; without a limit a broken server
/// would fill our memory.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Empty: the stream named none, which the standard calls `message`.
    pub(crate) event: String,
    pub(crate) data: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// What has been read and is not yet a message.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return, so a line feed that follows belongs to the same line end.
    after_return: bool,
    past_first_line: bool,
    event: String,
    data: String,
    has_data: bool,
    id: Option<String>,
    /// The id as of the last event that was complete. Also an event without data moves it on.
    last_id: Option<String>,
}

impl Parser {
    /// Where a stream that is opened again should go on.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Takes the next piece of the stream and hands out the messages that it completes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    messages.extend(self.end_line());
                }
                _ => {
                    self.after_return = false;
                    self.line.push(*byte);
                    self.check_length()?;
                }
            }
        }
        Ok(messages)
    }

    fn check_length(&self) -> Result<(), TooLong> {
        if self.line.len() + self.data.len() > MESSAGE_BYTES_MAX {
            return Err(TooLong);
        }
        Ok(())
    }

    fn end_line(&mut self) -> Option<Message> {
        let line = std::mem::take(&mut self.line);
        let first = !std::mem::replace(&mut self.past_first_line, true);
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if first => rest,
            _ => &line,
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let line = String::from_utf8_lossy(line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        self.field(field, value.strip_prefix(' ').unwrap_or(value));
        None
    }

    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // A comment has an empty field name; `retry` is our own business; the rest is passed over by the standard.
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        self.last_id.clone_from(&self.id);
        std::mem::take(&mut self.has_data).then_some(Message { event, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(event: &str, data: &str) -> Message {
        Message {
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    fn read(text: &str) -> Vec<Message> {
        Parser::default().push(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_message_is_what_stands_before_an_empty_line() {
        assert_eq!(
            read("event: job\nid: 7\ndata: {}\n\ndata: a\ndata:b\n\n: alive\n\n"),
            [message("job", "{}"), message("", "a\nb")]
        );
        assert_eq!(read("event: job\ndata: cut off\n"), []);
        assert_eq!(read("event: nothing\n\n"), []);
    }

    #[test]
    fn all_three_line_ends_and_a_byte_order_mark_are_read() {
        let same = [message("x", "1")];
        assert_eq!(read("event:x\r\ndata:1\r\n\r\n"), same);
        assert_eq!(read("event:x\rdata:1\r\r"), same);
        assert_eq!(read("\u{feff}event:x\ndata:1\n\n"), same);
    }

    #[test]
    fn oddities_are_as_the_standard_has_them() {
        assert_eq!(read("data\n\n"), [message("", "")]);
        assert_eq!(read("data:  two spaces\n\n"), [message("", " two spaces")]);
        assert_eq!(
            read("id: a\0b\nretry: 5\nfoo: bar\ndata: 1\n\n"),
            [message("", "1")]
        );
    }

    #[test]
    fn the_place_to_go_on_is_that_of_the_last_whole_event() {
        let mut parser = Parser::default();
        let mut last = |text: &str| {
            parser.push(text.as_bytes()).unwrap();
            parser.last_id().map(ToOwned::to_owned)
        };
        assert_eq!(last("data: 1\n\n"), None);
        assert_eq!(
            last("retry: 1000\nid: 4\n\n").as_deref(),
            Some("4"),
            "also without data"
        );
        assert_eq!(last("id: 5\ndata: cut o").as_deref(), Some("4"));
        assert_eq!(last("ff\n\ndata: no id\n\n").as_deref(), Some("5"));
        assert_eq!(last("id: a\0b\ndata: 1\n\n").as_deref(), Some("5"));
    }

    #[test]
    fn however_the_stream_is_cut_the_messages_are_the_same() {
        let text = "event: job\r\nid: 1\r\ndata: grüße ★\r\n\r\n: c\r\ndata: x\r\ndata: y\r\n\r\n";
        let whole = read(text);
        assert_eq!(whole.len(), 2);
        for piece_bytes in 1..text.len() {
            let mut parser = Parser::default();
            let cut: Vec<Message> = text
                .as_bytes()
                .chunks(piece_bytes)
                .flat_map(|piece| parser.push(piece).unwrap())
                .collect();
            assert_eq!(cut, whole, "pieces of {piece_bytes}");
        }
    }

    #[test]
    fn a_message_without_end_is_given_up() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; MESSAGE_BYTES_MAX];
        assert_eq!(parser.push(&piece), Ok(vec![]));
        assert_eq!(parser.push(b"x"), Err(TooLong));
    }
}
