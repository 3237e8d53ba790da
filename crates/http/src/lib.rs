//! The one listener and its route table.
//!
//! [`ROUTES`] says everything that can be asked: it feeds the router, the check of rights and the tests. What lies behind
//! is a [`Backend`], given by the caller; this crate knows no topic and no core.

mod alertmanager;
mod audited;
mod auth;
mod backend;
mod commands;
mod config;
mod context;
mod ingest;
mod layer;
mod limits;
mod link_page;
mod pagerduty;
mod problem;
mod router;
mod routes;
mod server;
mod silences;
mod slack;
mod tail;
mod trusted;
mod views;

pub use audited::{Accessed, AuditVoucher, AuditWitnesses, ForgetReceipt, NewForget};
pub use auth::{Auth, Caller, NewToken, generate_token};
pub use axum::Router;
pub use axum::body::Bytes;
pub use backend::{
    AnswerState, AuditHead, AuditPage, AuditQuery, AuditReport, Backend, BackendError, CommandAnswer,
    CommandReceipt, DeadLetterEntry, DeadLetterPage, DeadLetterQuery, IncidentPage, IncidentQuery,
    IncidentsState, IngestRecord, Ingested, NewCommand, NewIncident, Readiness, RoleReadiness, TailEvent,
    Why,
};
pub use config::{HttpConfig, LinkConfig, TokenConfig};
pub use problem::{Problem, ProblemDetails, Rejected};
pub use routes::{Access, Endpoint, ROUTES, Route};
pub use server::{BindError, Server, answers};
pub use silences::{AskedSilence, Previewed, SilenceItem, SilencePreview, SilenceReceipt};
pub use trusted::{PagerDutySecrets, SlackApp, Trusted};
