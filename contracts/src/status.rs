//! Errors as people and programs meet them: a code, a sentence, what to do next.

use std::fmt;

use crate::{Code, ObjectRef, Status};

impl Status {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            ..Self::default()
        }
    }

    /// The request is wrong in itself; `field` is the path of what is at fault.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            ..Self::new(Code::InvalidArgument, message)
        }
    }

    pub fn not_found(object: ObjectRef) -> Self {
        let message = format!("There is no {}.", object.describe());
        Self::new(Code::NotFound, message)
            .about(object)
            .action("Check the name or id; list what there is.")
    }

    pub fn already_exists(object: ObjectRef, message: impl Into<String>) -> Self {
        Self::new(Code::AlreadyExists, message).about(object)
    }

    /// The object's state forbids it.
    pub fn precondition(message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, message)
    }

    /// Something of Muster's own is wrong.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
            .action("Look into the service's log; report it if it comes again.")
    }

    /// It may work later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    #[must_use]
    pub fn about(mut self, object: ObjectRef) -> Self {
        self.object = Some(object);
        self
    }

    #[must_use]
    pub fn action(mut self, action: impl Into<String>) -> Self {
        self.recommended_action = action.into();
        self
    }

    /// Whether a job step may try again by itself. A request never does.
    pub fn retryable(&self) -> bool {
        match self.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => true,
            Code::Ok
            | Code::Cancelled
            | Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::FailedPrecondition
            | Code::Internal
            | Code::Unauthenticated => false,
        }
    }
}

impl Code {
    /// The name as programs and problem documents write it: `NOT_FOUND`.
    pub fn name(self) -> &'static str {
        self.as_str_name().trim_start_matches("CODE_")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code().name(), self.message)?;
        if !self.recommended_action.is_empty() {
            write!(f, " {}", self.recommended_action)?;
        }
        Ok(())
    }
}

impl std::error::Error for Status {}

impl ObjectRef {
    pub fn new(kind: &str, id: &str, name: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            id: id.to_owned(),
            name: name.to_owned(),
        }
    }

    /// "virtual machine web-01" for a sentence.
    pub fn describe(&self) -> String {
        let kind = match self.kind.as_str() {
            "vm" => "virtual machine",
            "host_group" => "host group",
            other => other,
        };
        let name = if self.name.is_empty() {
            &self.id
        } else {
            &self.name
        };
        format!("{kind} {name}")
    }
}
