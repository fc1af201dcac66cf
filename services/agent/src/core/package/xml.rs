//! A small tree of XML. No document types, so no entities but XML's own five; names without their prefixes, since programs
//! choose these as they like. Reading takes time and memory by the length of the text, whatever is in it.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::{DESCRIPTOR_BYTES_MAX, quoted};

/// Elements in elements; descriptors have 10.
const DEPTH_MAX: usize = 64;

/// Elements of a descriptor; those of large machines have 1,000.
const ELEMENTS_MAX: usize = 20_000;

/// Attributes of an element; those that declare namespaces have 15.
const ATTRIBUTES_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Element {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
    pub(super) children: Vec<Element>,
    text: String,
}

impl Element {
    /// An attribute; empty where it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        let mut all = self.attributes.iter();
        let found = all.find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// What stands in it, without the space around.
    pub(super) fn text(&self) -> &str {
        self.text.trim()
    }

    /// What stands in a child; empty where there is none.
    pub(super) fn text_of(&self, child: &str) -> &str {
        self.child(child).map_or("", Self::text)
    }

    /// Everything below it.
    pub(super) fn below(&self) -> impl Iterator<Item = &Self> {
        let mut left: Vec<&Self> = self.children.iter().collect();
        std::iter::from_fn(move || {
            let next = left.pop()?;
            left.extend(&next.children);
            Some(next)
        })
    }
}

/// Reads a text as the element that it is.
pub(super) fn parse(text: &str) -> Result<Element, String> {
    if text.len() > DESCRIPTOR_BYTES_MAX {
        let most = DESCRIPTOR_BYTES_MAX >> 10;
        return Err(format!("has a descriptor of more than {most} KiB"));
    }
    let mut reader = Reader::from_str(text);
    let mut tree = Tree::default();
    loop {
        match reader.read_event().map_err(|error| broken(&error))? {
            Event::Start(start) => tree.open(&start)?,
            Event::Empty(start) => {
                tree.open(&start)?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.say(&text.xml10_content()),
            Event::CData(text) => tree.say(&text.xml10_content()),
            Event::GeneralRef(reference) => tree.say(&character(&reference)?),
            Event::DocType(_) => return Err("has a document type, which is not read".to_owned()),
            Event::Eof => return tree.done(),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

fn broken(error: &dyn std::fmt::Display) -> String {
    format!("is not written as XML is: {}", quoted(&error.to_string()))
}

/// Elements that are open, the outermost first, and the one that is whole.
#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    whole: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, start: &BytesStart<'_>) -> Result<(), String> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(format!("has more than {ELEMENTS_MAX} elements"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(format!("has elements that lie deeper than {DEPTH_MAX}"));
        }
        if self.whole.is_some() {
            return Err("is several documents of XML in one".to_owned());
        }
        self.open.push(Element {
            name: start.local_name().into_inner().to_owned(),
            attributes: attributes(start)?,
            ..Element::default()
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let closed = self.open.pop();
        let closed = closed.ok_or_else(|| broken(&"an element ends that has not begun"))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(closed),
            None => self.whole = Some(closed),
        }
        Ok(())
    }

    fn say(&mut self, text: &str) {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
    }

    fn done(self) -> Result<Element, String> {
        match self.open.is_empty() {
            true => self.whole.ok_or_else(|| "is no XML".to_owned()),
            false => Err("ends in the middle of its XML".to_owned()),
        }
    }
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, String> {
    let mut read = Vec::new();
    // Looking for those that are there twice would compare each with each.
    for attribute in start.attributes().with_checks(false) {
        if read.len() >= ATTRIBUTES_MAX {
            return Err(format!(
                "has an element with more than {ATTRIBUTES_MAX} attributes"
            ));
        }
        let attribute = attribute.map_err(|error| broken(&error))?;
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|error| broken(&error))?.into_owned();
        let name = attribute.key.local_name().into_inner().to_owned();
        read.push((name, value));
    }
    Ok(read)
}

/// One of XML's own entities, or a character by its number.
fn character(reference: &BytesRef<'_>) -> Result<String, String> {
    let number = reference
        .resolve_char_ref()
        .map_err(|error| broken(&error))?;
    if let Some(character) = number {
        return Ok(character.to_string());
    }
    let known = resolve_predefined_entity(reference);
    let unknown = || {
        let entity = quoted(reference);
        format!("refers to an entity {entity}, and only those of XML itself are known")
    };
    Ok(known.ok_or_else(unknown)?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_whatever_prefixes_it_uses() {
        let root = parse("\u{feff}<?xml version='1.0'?><!-- x --><o:a o:id='1 &lt; 2'>t&amp;<b/><x:b y='&#65;'>u<![CDATA[<v>]]></x:b></o:a>").unwrap();
        assert_eq!((root.name.as_str(), root.get("id")), ("a", "1 < 2"));
        assert_eq!((root.text(), root.get("none")), ("t&", ""));
        let all: Vec<(&str, &str)> = root.all("b").map(|b| (b.get("y"), b.text())).collect();
        assert_eq!(all, [("", ""), ("A", "u<v>")]);
        assert_eq!(root.below().count(), 2);
    }

    #[test]
    fn what_would_cost_more_than_its_length_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY x \"ha\"><!ENTITY y \"&x;&x;\">]><a>&y;</a>";
        for (text, words) in [
            (bomb, "document type"),
            (
                "<!DOCTYPE a SYSTEM 'file:///etc/shadow'><a/>",
                "document type",
            ),
            ("<a>&x;</a>", "entity \"x\""),
            ("<a b='&x;'/>", "not written as XML"),
            ("<a>&#0;</a>", "not written as XML"),
            ("<a><b></a>", "not written as XML"),
            ("</a>", "not written as XML"),
            ("<a>", "in the middle"),
            ("", "is no XML"),
            ("PK\u{3}\u{4}", "is no XML"),
            ("<a/><b/>", "several documents"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        let many = |count: usize, text: &str| text.repeat(count);
        let deep = parse(&many(300_000, "<a>")).unwrap_err();
        assert!(deep.contains("deeper than 64"), "{deep}");
        let wide = parse(&format!("<a>{}</a>", many(150_000, "<b/>"))).unwrap_err();
        assert!(wide.contains("20000 elements"), "{wide}");
        let named = parse(&format!("<a {}/>", many(100_000, "b='' "))).unwrap_err();
        assert!(named.contains("64 attributes"), "{named}");
        let long = parse(&many(2 << 20, " ")).unwrap_err();
        assert!(long.contains("1024 KiB"), "{long}");
    }
}
