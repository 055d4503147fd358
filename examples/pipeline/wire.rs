//! What the parts say to each other. All numbers are decimal text, so that a part in any language can join in.
//!
//! | from | to | message parts |
//! |---|---|---|
//! | ventilator | worker | parcel number, then for each piece in it: file, offset in the file, text |
//! | worker | sink | `count`, parcel number, worker, files, words, bytes |
//! | ventilator | sink | `start`, parcels, bytes |
//! | sink | ventilator | parcel numbers, apart by spaces |
//! | ventilator | sink | `end`, files, words, requeued, unconfirmed, and a line for each parcel that was sent again |

use std::str;

use ferromq::Message;

/// Something to do for a worker: some small files, or a part of a large one.
pub(crate) struct Parcel<'a> {
    pub(crate) id: u64,
    pub(crate) pieces: Vec<Piece<'a>>,
}

/// A file, or a part of it.
pub(crate) struct Piece<'a> {
    pub(crate) path: &'a str,
    pub(crate) offset: u64,
    pub(crate) text: &'a [u8],
}

/// What the sink hears.
pub(crate) enum Report<'a> {
    Count(Count<'a>),
    Start(Start),
    End(End),
}

/// What a worker found in one parcel.
pub(crate) struct Count<'a> {
    pub(crate) id: u64,
    pub(crate) worker: &'a str,
    /// Files that begin in this parcel.
    pub(crate) files: u64,
    pub(crate) words: u64,
    pub(crate) bytes: u64,
}

/// The ventilator begins: this much is to come.
pub(crate) struct Start {
    pub(crate) parcels: u64,
    pub(crate) bytes: u64,
}

/// The ventilator knows that every parcel has arrived, and says what the total should be.
pub(crate) struct End {
    pub(crate) files: u64,
    pub(crate) words: u64,
    /// Messages that the socket itself took back from a lost connection and gave to another worker.
    pub(crate) requeued: u64,
    /// Messages that were written to a connection which then ended, so that the socket cannot say if they were read.
    pub(crate) unconfirmed: u64,
    pub(crate) again: Vec<String>,
}

impl<'a> Parcel<'a> {
    pub(crate) fn read(message: &'a Message) -> Result<Self, String> {
        let mut fields = Fields(message.parts());
        let id = fields.number()?;
        let mut pieces = Vec::new();
        while let Some(path) = fields.0.next() {
            let path = str::from_utf8(path).map_err(|_| "a message with a file name that is not text")?;
            pieces.push(Piece { path, offset: fields.number()?, text: fields.bytes()? });
        }
        Ok(Self { id, pieces })
    }
}

impl<'a> Report<'a> {
    pub(crate) fn read(message: &'a Message) -> Result<Self, String> {
        let mut fields = Fields(message.parts());
        match fields.text()? {
            "count" => Ok(Self::Count(Count {
                id: fields.number()?,
                worker: fields.text()?,
                files: fields.number()?,
                words: fields.number()?,
                bytes: fields.number()?,
            })),
            "start" => Ok(Self::Start(Start { parcels: fields.number()?, bytes: fields.number()? })),
            "end" => Ok(Self::End(End {
                files: fields.number()?,
                words: fields.number()?,
                requeued: fields.number()?,
                unconfirmed: fields.number()?,
                again: fields.rest(),
            })),
            other => Err(format!("a message of the unknown kind {other:?}")),
        }
    }
}

impl From<Parcel<'_>> for Message {
    fn from(parcel: Parcel<'_>) -> Self {
        let mut parts = vec![parcel.id.to_string().into_bytes()];
        for piece in parcel.pieces {
            parts.push(piece.path.into());
            parts.push(piece.offset.to_string().into());
            parts.push(piece.text.into());
        }
        Self::from(parts)
    }
}

impl From<Count<'_>> for Message {
    fn from(count: Count<'_>) -> Self {
        let [id, files, words, bytes] =
            [count.id, count.files, count.words, count.bytes].map(|number| number.to_string());
        Self::from(["count", &id, count.worker, &files, &words, &bytes])
    }
}

impl From<Start> for Message {
    fn from(start: Start) -> Self {
        Self::from(["start", &start.parcels.to_string(), &start.bytes.to_string()])
    }
}

impl From<End> for Message {
    fn from(end: End) -> Self {
        let numbers = [end.files, end.words, end.requeued, end.unconfirmed].map(|number| number.to_string());
        std::iter::once("end".to_string()).chain(numbers).chain(end.again).collect()
    }
}

/// The parcel numbers in a message of the sink, as far as they are numbers.
pub(crate) fn read_arrived(message: &Message) -> impl Iterator<Item = u64> {
    let texts = message.parts().flat_map(str::from_utf8);
    texts.flat_map(str::split_whitespace).flat_map(str::parse)
}

pub(crate) fn write_arrived(ids: &[u64]) -> Message {
    let words: Vec<String> = ids.iter().map(u64::to_string).collect();
    Message::from(words.join(" "))
}

/// Takes a message apart, field by field.
struct Fields<I>(I);

impl<'a, I: Iterator<Item = &'a [u8]>> Fields<I> {
    fn bytes(&mut self) -> Result<&'a [u8], String> {
        self.0.next().ok_or_else(|| "a message with a part missing".into())
    }

    fn text(&mut self) -> Result<&'a str, String> {
        str::from_utf8(self.bytes()?).map_err(|_| "a message with a part that is not text".into())
    }

    fn number(&mut self) -> Result<u64, String> {
        let text = self.text()?;
        text.parse().map_err(|_| format!("a message with {text:?} in place of a number"))
    }

    fn rest(self) -> Vec<String> {
        self.0.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}
