//! Which member of a record is which field: the mapping of `[telemetry.fields]` and the tree it becomes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where each field stands in a record: a member name, or a path such as `data.features`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// `prediction` or `label`; a prediction when absent (a label in a topic of labels).
    pub kind: String,
    /// Required. Joins a label to its prediction and tells repeats.
    pub prediction_id: String,
    /// Required. RFC 3339 or epoch milliseconds; of a label: when it became known.
    pub event_time: String,
    /// Required of a prediction.
    pub model: String,
    /// See `version_from` for records without one.
    pub version: String,
    /// Milliseconds.
    pub latency_ms: String,
    /// `ok`, `error`, `timeout` or `rejected`; `ok` when absent.
    pub status: String,
    /// Object of name to number, text, true/false or null.
    pub features: String,
    /// Class or number; in a label: the prediction it is about, which then needs no join.
    pub prediction: String,
    /// Probability of the predicted class.
    pub score: String,
    /// Object of class to probability; gives the score when there is none.
    pub class_probs: String,
    /// Object of name to text.
    pub segments: String,
    /// Records that this one stands for. For display only.
    pub weight: String,
    /// Required of a label: the truth.
    pub value: String,
}

impl Default for Fields {
    fn default() -> Self {
        let own = |name: &str| name.to_owned();
        Self {
            kind: own("kind"),
            prediction_id: own("prediction_id"),
            event_time: own("event_time"),
            model: own("model"),
            version: own("version"),
            latency_ms: own("latency_ms"),
            status: own("status"),
            features: own("features"),
            prediction: own("prediction"),
            score: own("score"),
            class_probs: own("class_probs"),
            segments: own("segments"),
            weight: own("weight"),
            value: own("value"),
        }
    }
}

/// What a member of a record can be to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Kind,
    PredictionId,
    EventTime,
    Model,
    Version,
    VersionFrom,
    LatencyMs,
    Status,
    Features,
    Prediction,
    Score,
    ClassProbs,
    Segments,
    Weight,
    Value,
    SpecVersion,
    EventType,
    EventId,
    Time,
    DataContentType,
    DataBase64,
}

impl Field {
    pub(crate) const COUNT: usize = Self::DataBase64 as usize + 1;
}

/// Why a mapping of fields cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// An empty member name.
    #[error("`{path}` for `{field}` has an empty part")]
    Empty { field: &'static str, path: String },
    /// More levels than any record needs.
    #[error("`{path}` for `{field}` is more than {PATH_MAX} levels deep")]
    Deep { field: &'static str, path: String },
    /// Nobody names a member so, and it would have to be escaped.
    #[error("`{path}` for `{field}` has a quote, a backslash or a control character")]
    Odd { field: &'static str, path: String },
    /// Two fields cannot be the same member, nor one a part of the other.
    #[error("`{path}` for `{field}` is taken by another field, or lies within one")]
    Taken { field: &'static str, path: String },
}

/// Levels of a path.
const PATH_MAX: usize = 8;

/// The members of one object that matter.
#[derive(Clone, Debug, Default)]
struct Node {
    members: Vec<Named>,
    /// The member that was found last.
    last: usize,
}

#[derive(Clone, Debug)]
struct Named {
    name: Box<str>,
    what: Member,
    /// The member that followed last time: producers write their members in the same order.
    after: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Field(Field),
    /// An object with fields within: a node of the tree.
    Within(usize),
}

/// The mapping, ready for look-ups. Node 0 is the record.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The tree of plain records.
    pub(crate) fn plain(fields: &Fields, version_from: Option<&str>) -> Result<Self, FieldsError> {
        let mut tree = Self { nodes: vec![Node::default()] };
        tree.put_all(fields, version_from, 0)?;
        // Seen only to tell a CloudEvent; a field of the user's may have the name.
        let _taken = tree.put("specversion", Field::SpecVersion, "specversion", 0);
        Ok(tree)
    }

    /// The tree of CloudEvents in structured mode: plain records within `data`.
    pub(crate) fn structured(fields: &Fields, version_from: Option<&str>) -> Result<Self, FieldsError> {
        let mut tree = Self { nodes: vec![Node::default(), Node::default()] };
        tree.nodes[0].push("data", Member::Within(1));
        for (name, field) in [
            ("specversion", Field::SpecVersion),
            ("type", Field::EventType),
            ("id", Field::EventId),
            ("time", Field::Time),
            ("datacontenttype", Field::DataContentType),
            ("data_base64", Field::DataBase64),
        ] {
            tree.put(name, field, name, 0)?;
        }
        tree.put_all(fields, version_from, 1)?;
        Ok(tree)
    }

    fn put_all(&mut self, f: &Fields, version_from: Option<&str>, root: usize) -> Result<(), FieldsError> {
        for (name, path, field) in [
            ("kind", &f.kind, Field::Kind),
            ("prediction_id", &f.prediction_id, Field::PredictionId),
            ("event_time", &f.event_time, Field::EventTime),
            ("model", &f.model, Field::Model),
            ("version", &f.version, Field::Version),
            ("latency_ms", &f.latency_ms, Field::LatencyMs),
            ("status", &f.status, Field::Status),
            ("features", &f.features, Field::Features),
            ("prediction", &f.prediction, Field::Prediction),
            ("score", &f.score, Field::Score),
            ("class_probs", &f.class_probs, Field::ClassProbs),
            ("segments", &f.segments, Field::Segments),
            ("weight", &f.weight, Field::Weight),
            ("value", &f.value, Field::Value),
        ] {
            self.put(path, field, name, root)?;
        }
        version_from.map_or(Ok(()), |path| self.put(path, Field::VersionFrom, "version_from", root))
    }

    fn put(&mut self, path: &str, field: Field, name: &'static str, root: usize) -> Result<(), FieldsError> {
        let parts: Vec<&str> = path.split('.').collect();
        let (last, before) = parts.split_last().expect("a split has a part");
        if parts.iter().any(|part| part.is_empty()) {
            return Err(FieldsError::Empty { field: name, path: path.to_owned() });
        }
        if path.contains(|c: char| c == '"' || c == '\\' || c.is_control()) {
            return Err(FieldsError::Odd { field: name, path: path.to_owned() });
        }
        if parts.len() > PATH_MAX {
            return Err(FieldsError::Deep { field: name, path: path.to_owned() });
        }
        let taken = || FieldsError::Taken { field: name, path: path.to_owned() };
        let mut node = root;
        for part in before {
            node = match self.nodes[node].get(part) {
                Some(Member::Within(inner)) => inner,
                Some(Member::Field(_)) => return Err(taken()),
                None => {
                    let inner = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[node].push(part, Member::Within(inner));
                    inner
                }
            };
        }
        if self.nodes[node].get(last).is_some() {
            return Err(taken());
        }
        self.nodes[node].push(last, Member::Field(field));
        Ok(())
    }

    /// The name that is likely to come next in `node`.
    pub(crate) fn expected(&self, node: usize) -> Option<&str> {
        let node = &self.nodes[node];
        node.members.get(node.expected()).map(|member| &*member.name)
    }

    /// What that is, when it came.
    pub(crate) fn take_expected(&mut self, node: usize) -> Member {
        let node = &mut self.nodes[node];
        node.last = node.expected();
        node.members[node.last].what
    }

    /// What the member `name` of `node` is.
    pub(crate) fn member(&mut self, node: usize, name: &str) -> Option<Member> {
        let node = &mut self.nodes[node];
        let found = node.members.iter().position(|known| *known.name == *name)?;
        let last = std::mem::replace(&mut node.last, found);
        node.members[last].after = found;
        Some(node.members[found].what)
    }
}

impl Node {
    fn push(&mut self, name: &str, what: Member) {
        self.members.push(Named { name: name.into(), what, after: 0 });
    }

    fn get(&self, name: &str) -> Option<Member> {
        self.members.iter().find(|known| *known.name == *name).map(|known| known.what)
    }

    fn expected(&self) -> usize {
        self.members.get(self.last).map_or(0, |last| last.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_cannot_be() {
        for (fields, want) in [
            (Fields { score: "a..b".into(), ..Fields::default() }, "`a..b` for `score` has an empty part"),
            (Fields { score: String::new(), ..Fields::default() }, "`` for `score` has an empty part"),
            (
                Fields { score: "a\"b".into(), ..Fields::default() },
                "`a\"b` for `score` has a quote, a backslash or a control character",
            ),
            (
                Fields { score: "model".into(), ..Fields::default() },
                "`model` for `score` is taken by another field, or lies within one",
            ),
            (
                Fields { score: "features.score".into(), ..Fields::default() },
                "`features.score` for `score` is taken by another field, or lies within one",
            ),
            (
                Fields { model: "m.name".into(), version: "m".into(), ..Fields::default() },
                "`m` for `version` is taken by another field, or lies within one",
            ),
        ] {
            assert_eq!(Tree::plain(&fields, None).expect_err("refused").to_string(), want);
        }
    }

    #[test]
    fn members_are_found_in_any_order() {
        let mut tree =
            Tree::plain(&Fields { event_time: "meta.ts".into(), ..Fields::default() }, None).expect("fine");
        let Some(Member::Within(meta)) = tree.member(0, "meta") else { panic!("a node") };
        for _ in 0..2 {
            assert_eq!(tree.member(meta, "ts"), Some(Member::Field(Field::EventTime)));
            assert_eq!(tree.member(0, "value"), Some(Member::Field(Field::Value)));
            assert_eq!(tree.member(0, "kind"), Some(Member::Field(Field::Kind)));
            assert_eq!(tree.member(0, "event_time"), None);
        }
        assert_eq!(tree.expected(0), Some("value"), "as it was the last time after `kind`");
        assert_eq!(tree.take_expected(0), Member::Field(Field::Value));
        assert_eq!(tree.expected(0), Some("kind"));
    }
}
