//! Where in the value the check is: a chain on the stack, spelt out only when something is found.

/// A place in the value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// The value itself.
    Root,
    /// A member of the place above.
    Member(&'a Self, &'a str),
    /// An item of the place above.
    Item(&'a Self, usize),
}

impl Place<'_> {
    /// As an RFC 6901 pointer.
    pub(super) fn pointer(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(above, name) => {
                format!("{}/{}", above.pointer(), name.replace('~', "~0").replace('/', "~1"))
            }
            Self::Item(above, index) => format!("{}/{index}", above.pointer()),
        }
    }
}
