//! Which arguments of a tool are repeated in headers: `x-mcp-header` in its input schema (2026-07-28, streamable HTTP,
//! "Custom Headers from Tool Parameters"). What the headers then hold is the business of whoever sends or checks them.

use std::collections::HashSet;

use crate::json::Json;

/// One argument that is repeated in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// Where it stands in the arguments: names of properties, outermost first; never empty.
    pub path: Vec<String>,
    /// What follows `Mcp-Param-` in the header's name: a token, unlike all others of the tool whatever their case.
    pub name: String,
}

/// An annotation that makes a tool unusable: clients leave the tool out, and so do we. Property names and the annotation
/// are the server's own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnnotation {
    /// It is no string, or an empty one.
    #[error("the `x-mcp-header` of `{0}` is not a name")]
    NoName(String),
    /// It has characters that the name of a header cannot have.
    #[error("the `x-mcp-header` of `{0}` has characters that no header name can have")]
    NoToken(String),
    /// Header names know no case.
    #[error("the `x-mcp-header` of `{0}` is that of another argument too")]
    Repeated(String),
    /// Objects, arrays, null and numbers with fractions have no one form as a header.
    #[error("the `x-mcp-header` of `{0}` stands at something that is not of type string, integer or boolean")]
    NotPlain(String),
    /// Nobody can say which value is meant.
    #[error("an `x-mcp-header` stands at `{0}`, which is no argument or part of one by `properties` alone")]
    Unreachable(String),
}

/// The arguments that a tool with this input schema wants repeated, in the schema's order.
///
/// # Errors
/// [`BadAnnotation`] for the first annotation against the rules.
pub fn param_headers(input_schema: &Json) -> Result<Vec<ParamHeader>, BadAnnotation> {
    if !input_schema.as_str().contains(ANNOTATION) {
        return Ok(Vec::new());
    }
    let mut search = Search { path: Vec::new(), found: Vec::new(), names: HashSet::new() };
    search.schema(input_schema, Reach::Argument)?;
    Ok(search.found)
}

/// Whether a value can be pointed at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// By names of properties, from the root on.
    Argument,
    /// Not, or only under conditions.
    Elsewhere,
}

struct Search {
    path: Vec<String>,
    found: Vec<ParamHeader>,
    names: HashSet<String>,
}

impl Search {
    fn schema(&mut self, schema: &Json, reach: Reach) -> Result<(), BadAnnotation> {
        for (keyword, value) in schema.members().unwrap_or_default() {
            match keyword.as_str() {
                ANNOTATION => self.annotation(schema, &value, reach)?,
                "properties" => self.each_named(&value, reach)?,
                "$defs" | "definitions" | "dependentSchemas" | "patternProperties" => {
                    self.each_named(&value, Reach::Elsewhere)?;
                }
                // Values, not schemas: whatever is in them is nobody's annotation.
                "const" | "default" | "enum" | "examples" => {}
                _ => self.nested(&keyword, &value)?,
            }
        }
        Ok(())
    }

    fn each_named(&mut self, schemas: &Json, reach: Reach) -> Result<(), BadAnnotation> {
        for (name, schema) in schemas.members().unwrap_or_default() {
            self.path.push(name);
            self.schema(&schema, reach)?;
            self.path.pop();
        }
        Ok(())
    }

    /// A keyword that may hold a schema (`items`, `if`) or several (`oneOf`).
    fn nested(&mut self, keyword: &str, value: &Json) -> Result<(), BadAnnotation> {
        let one = value.is_object().then(|| value.clone());
        for schema in value.elements().unwrap_or_default().into_iter().chain(one) {
            self.path.push(keyword.to_owned());
            self.schema(&schema, Reach::Elsewhere)?;
            self.path.pop();
        }
        Ok(())
    }

    fn annotation(&mut self, schema: &Json, name: &Json, reach: Reach) -> Result<(), BadAnnotation> {
        let place = || self.path.join(".");
        if reach == Reach::Elsewhere || self.path.is_empty() {
            return Err(BadAnnotation::Unreachable(place()));
        }
        let name = name.string().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| BadAnnotation::NoName(place()))?.into_owned();
        if !name.bytes().all(is_token) {
            return Err(BadAnnotation::NoToken(place()));
        }
        let of_type = schema.member("type");
        let of_type = of_type.as_ref().and_then(Json::string);
        if !matches!(of_type.as_deref(), Some("string" | "integer" | "boolean")) {
            return Err(BadAnnotation::NotPlain(place()));
        }
        if !self.names.insert(name.to_ascii_lowercase()) {
            return Err(BadAnnotation::Repeated(place()));
        }
        self.found.push(ParamHeader { path: self.path.clone(), name });
        Ok(())
    }
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const ANNOTATION: &str = "x-mcp-header";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(schema: &str, expected: &str) {
        let schema = Json::parse(schema.to_owned()).unwrap();
        let got = match param_headers(&schema) {
            Ok(headers) => {
                let said = headers.iter().map(|header| format!("{}={}", header.path.join("."), header.name));
                said.collect::<Vec<_>>().join(" ")
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected);
    }

    #[track_caller]
    fn check_property(property: &str, expected: &str) {
        check(&format!(r#"{{"type":"object","properties":{{"p":{property}}}}}"#), expected);
    }

    #[test]
    fn annotations_along_properties_are_found() {
        check("{}", "");
        check_property(r#"{"type":"string","x-mcp-header":"Region"}"#, "p=Region");
        check_property(r#"{"type":"integer","x-mcp-header":"A!#$%&'*+-.^_`|~9"}"#, "p=A!#$%&'*+-.^_`|~9");
        check_property(
            r#"{"properties":{"q":{"type":"boolean","x-mcp-header":"Q"},"r":{"type":"string","x-mcp-header":"R"}}}"#,
            "p.q=Q p.r=R",
        );
        // A property of that name is no annotation, and neither are values.
        check(r#"{"properties":{"x-mcp-header":{"type":"object"}}}"#, "");
        check_property(
            r#"{"default":{"x-mcp-header":1},"const":{"x-mcp-header":1},"enum":[{"x-mcp-header":1}]}"#,
            "",
        );
    }

    #[test]
    fn bad_annotations_are_named() {
        for no_name in ["\"\"", "7", "null", "{}"] {
            let property = format!(r#"{{"type":"string","x-mcp-header":{no_name}}}"#);
            check_property(&property, "the `x-mcp-header` of `p` is not a name");
        }
        for no_token in ["My Region", "Region:Primary", "Région", "Region\\t1", "a/b", "(a)"] {
            let property = format!(r#"{{"type":"string","x-mcp-header":"{no_token}"}}"#);
            check_property(
                &property,
                "the `x-mcp-header` of `p` has characters that no header name can have",
            );
        }
        for not_plain in [r#""object""#, r#""array""#, r#""null""#, r#""number""#, r#"["string","null"]"#] {
            let property = format!(r#"{{"type":{not_plain},"x-mcp-header":"H"}}"#);
            check_property(
                &property,
                "the `x-mcp-header` of `p` stands at something that is not of type string, integer or boolean",
            );
        }
        check(
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"MyField"},"b":{"properties":{"c":{"type":"string","x-mcp-header":"myfield"}}}}}"#,
            "the `x-mcp-header` of `b.c` is that of another argument too",
        );
    }

    #[test]
    fn annotations_nobody_can_reach_are_named() {
        let annotated = r#"{"type":"string","x-mcp-header":"H"}"#;
        check(
            annotated,
            "an `x-mcp-header` stands at ``, which is no argument or part of one by `properties` alone",
        );
        for (property, place) in [
            (format!(r#"{{"items":{annotated}}}"#), "p.items"),
            (format!(r#"{{"oneOf":[{{}},{annotated}]}}"#), "p.oneOf"),
            (format!(r#"{{"items":{{"properties":{{"q":{annotated}}}}}}}"#), "p.items.q"),
            (format!(r#"{{"additionalProperties":{annotated}}}"#), "p.additionalProperties"),
            (format!(r#"{{"patternProperties":{{"^a":{annotated}}}}}"#), "p.^a"),
            (format!(r#"{{"$defs":{{"d":{annotated}}}}}"#), "p.d"),
        ] {
            let expected = format!(
                "an `x-mcp-header` stands at `{place}`, which is no argument or part of one by `properties` alone"
            );
            check_property(&property, &expected);
        }
    }
}
