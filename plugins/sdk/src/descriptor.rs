//! What a plugin says about itself, built up one call at a time.

/// What a plugin is and wants. The host reads it once, when the plugin is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// The plugin's own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in one sentence.
    pub description: String,
    /// What it wants to see.
    pub hooks: Vec<Hook>,
    /// JSON Schema of its configuration.
    pub config_schema: Option<String>,
    /// Order among mutators in the request phase, low first.
    pub priority_request: i32,
    /// Order among mutators in the response phase, low first.
    pub priority_response: i32,
    /// Whether a message passes when the plugin itself fails.
    pub fail_open: bool,
    /// How much of one call's memory a later one may find.
    pub isolation: Isolation,
    /// What it needs to be granted: `clock`, `random`, `kv`, `labels`, `find-secrets`, `http:<origin>`, `secret:<name>`.
    pub wants: Vec<String>,
    /// The oldest MCP protocol version it understands.
    pub min_protocol: Option<String>,
    /// The newest MCP protocol version it understands.
    pub max_protocol: Option<String>,
}

impl Descriptor {
    /// A plugin without hooks that blocks what it cannot judge, with fresh memory for each call.
    pub fn new(name: &str, version: &str, description: &str) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            description: description.into(),
            hooks: Vec::new(),
            config_schema: None,
            priority_request: 0,
            priority_response: 0,
            fail_open: false,
            isolation: Isolation::PerCall,
            wants: Vec::new(),
            min_protocol: None,
            max_protocol: None,
        }
    }

    /// Cannot do without these grants; without them the plugin is held, not run.
    #[must_use]
    pub fn wants(mut self, grants: &[&str]) -> Self {
        self.wants.extend(owned(grants));
        self
    }

    /// Understands messages of these MCP protocol versions, both included.
    #[must_use]
    pub fn protocols(mut self, oldest: Option<&str>, newest: Option<&str>) -> Self {
        (self.min_protocol, self.max_protocol) = (oldest.map(str::to_owned), newest.map(str::to_owned));
        self
    }

    /// Wants to see this too.
    #[must_use]
    pub fn hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// The JSON Schema (2020-12) of the configuration.
    #[must_use]
    pub fn config_schema(mut self, schema: &str) -> Self {
        self.config_schema = Some(schema.into());
        self
    }

    /// Order among mutators, low first; names break ties.
    #[must_use]
    pub fn priority(mut self, request: i32, response: i32) -> Self {
        (self.priority_request, self.priority_response) = (request, response);
        self
    }

    /// Lets a message pass when the plugin itself fails.
    #[must_use]
    pub fn fail_open(mut self) -> Self {
        self.fail_open = true;
        self
    }

    /// Allows memory to be reused between calls.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }
}

/// How much of one call's memory a later one may find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Fresh memory for each call.
    PerCall,
    /// Never shared between sessions.
    PerSession,
    /// Reused across calls, reset when a call fails.
    Pooled,
}

/// Which function of a plugin a hook calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// [`crate::Interceptor::validate`]
    Validate,
    /// [`crate::Interceptor::mutate`]
    Mutate,
    /// [`crate::Interceptor::filter`]
    Filter,
}

/// One line of interest. Every part must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The function that is called.
    pub role: Role,
    /// MCP methods, `*` standing for any run of characters.
    pub events: Vec<String>,
    /// Sees messages towards the server.
    pub request: bool,
    /// Sees messages towards the client.
    pub response: bool,
    /// Server names with `*`; empty means every server.
    pub servers: Vec<String>,
    /// Tool or prompt names or URIs with `*`; empty means every subject.
    pub subjects: Vec<String>,
    /// RFC 6901 pointers that must all exist in the payload.
    pub has: Vec<String>,
    /// Whether it reads the payload at all.
    pub payload: bool,
}

impl Hook {
    /// Calls `validate` on these methods (`*` stands for any run of characters); say [`Hook::request`],
    /// [`Hook::response`] or both.
    pub fn validate(events: &[&str]) -> Self {
        Self::on(Role::Validate, events)
    }

    /// Calls `mutate` on these methods; say [`Hook::request`], [`Hook::response`] or both.
    pub fn mutate(events: &[&str]) -> Self {
        Self::on(Role::Mutate, events)
    }

    /// Calls `filter` on these lists, for example `tools/list`.
    pub fn filter(events: &[&str]) -> Self {
        Self { response: true, ..Self::on(Role::Filter, events) }
    }

    fn on(role: Role, events: &[&str]) -> Self {
        Self {
            role,
            events: owned(events),
            request: false,
            response: false,
            servers: Vec::new(),
            subjects: Vec::new(),
            has: Vec::new(),
            payload: true,
        }
    }

    /// Does not read the payload: the operation, attributes and notes are enough. Cheaper.
    #[must_use]
    pub fn without_payload(mut self) -> Self {
        self.payload = false;
        self
    }

    /// In the request phase.
    #[must_use]
    pub fn request(mut self) -> Self {
        self.request = true;
        self
    }

    /// In the response phase.
    #[must_use]
    pub fn response(mut self) -> Self {
        self.response = true;
        self
    }

    /// Only for these servers.
    #[must_use]
    pub fn servers(mut self, servers: &[&str]) -> Self {
        self.servers = owned(servers);
        self
    }

    /// Only for these tools, prompts or URIs.
    #[must_use]
    pub fn subjects(mut self, subjects: &[&str]) -> Self {
        self.subjects = owned(subjects);
        self
    }

    /// Only when all these pointers exist in the payload.
    #[must_use]
    pub fn has(mut self, pointers: &[&str]) -> Self {
        self.has = owned(pointers);
        self
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// RFC 6901 pointer into the configuration.
    pub pointer: String,
    /// What is wrong there, for the operator.
    pub message: String,
}

impl Problem {
    /// One problem.
    pub fn new(pointer: &str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
