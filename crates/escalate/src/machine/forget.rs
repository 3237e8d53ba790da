//! A person is forgotten.

use wire::command::Role;
use wire::forget::Forget;

use super::Machine;
use crate::answers::Answer;
use crate::audit::Entry;
use crate::store;

impl Machine {
    /// Removes a name from the state and keeps none for its pseudonyms again. The chain says of which pseudonyms, so
    /// that nobody looks for them.
    pub(super) fn forget_person(&mut self, forget: Forget) {
        if self.answers.get(&forget.command_id).is_some() {
            self.desk.count.duplicates += 1;
            return;
        }
        let who = self.desk.current.roster().person_of(&forget.principal.name).to_owned();
        let by = self.desk.pseudonym(&who);
        if forget.principal.role < Role::Admin {
            self.desk.count.commands_refused += 1;
            let why = format!("{} may not forget a person: it takes an admin", forget.principal.role.name());
            let audited = Some(format!("forget: {why}"));
            self.desk.audit(Entry {
                actor: Some(by),
                action: "command.refused",
                why: audited,
                ..Entry::default()
            });
            return self.keep_answer(forget.command_id, Answer::Refused { why });
        }
        let mut gone = self.desk.people.of_name(&|name| forget.is_about(name));
        let met = !gone.is_empty();
        // Known or not: should they act again, they stay a pseudonym.
        gone.insert(forget.pseudonym.clone());
        for pseudonym in gone {
            self.desk.effects.push(store::person(&pseudonym, None));
            if self.desk.people.forget_for_good(&pseudonym) {
                self.desk.effects.push(store::forgotten(&pseudonym));
            }
            self.desk.audit(Entry {
                actor: Some(by.clone()),
                action: "person.forgotten",
                before: Some(pseudonym),
                why: (!met).then(|| "no name was known here".into()),
                ..Entry::default()
            });
        }
        // Whoever has their views has the names.
        self.changed.extend(self.incidents.keys().cloned());
        self.desk.count.commands_accepted += 1;
        self.keep_answer(forget.command_id, Answer::Accepted);
    }
}
