//! What the URL says about the session, put into effect before the statement.

use super::Query;
use crate::clickhouse::engine::{MARK, SERVER_DEFAULTS, quote, quote_name};
use crate::clickhouse::error::Exception;
use crate::clickhouse::external;

impl Query<'_> {
    /// Applies what the URL says. In a named session it must not outlive the request: the statements that take it back
    /// are added to `restore`, each before there is something to take back.
    pub(super) fn set_up(&mut self, restore: &mut Vec<String>) -> Result<(), Exception> {
        let request = self.request;
        let in_session = request.session.is_some();
        let mut settings = request.settings.clone();
        if in_session {
            // A session cannot leave read-only mode again: `refuse_writes` looks after that there.
            settings.retain(|(name, _)| name != "readonly");
        }
        for (name, _) in &settings {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(Exception::from_engine(&format!(
                    "Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)"
                )));
            }
        }
        if in_session && !settings.is_empty() {
            restore.extend(self.current_settings(&settings)?);
        }
        if let Some(database) = &request.database {
            if in_session {
                let current = self.statement("SELECT currentDatabase()")?;
                restore.push(format!("USE {}", quote_name(current.trim_end_matches('\n'))));
            }
            self.statement(&format!("USE {}", quote_name(database)))?;
        }
        for role in &request.roles {
            self.statement(&format!("SET ROLE {}", quote_name(role)))?;
        }
        if self.fresh {
            let defaults = SERVER_DEFAULTS
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            settings.splice(..0, defaults);
        }
        settings.push((MARK.to_owned(), request.response.query_id.clone()));
        let (last, first): (Vec<_>, Vec<_>) = settings.into_iter().partition(|(name, _)| name == "readonly");
        self.set(&first)?;
        for table in &request.tables {
            if in_session {
                restore.push(format!("DROP TEMPORARY TABLE IF EXISTS {}", quote_name(&table.name)));
            }
            external::create(self.connection, table)?;
        }
        if !in_session {
            let named = last.iter().any(|(_, value)| value != "0");
            let last = if request.readonly && !named {
                vec![("readonly".to_owned(), "2".to_owned())]
            } else {
                last
            };
            self.set(&last)?;
        }
        Ok(())
    }

    fn set(&mut self, settings: &[(String, String)]) -> Result<(), Exception> {
        if settings.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("{name} = {}", quote(value)))
            .collect();
        self.statement(&format!("SET {}", list.join(", "))).map(drop)
    }

    /// The statement that gives settings the values they have now.
    fn current_settings(&mut self, settings: &[(String, String)]) -> Result<Option<String>, Exception> {
        let names: Vec<String> = settings.iter().map(|(name, _)| quote(name)).collect();
        let text = self.statement(&format!(
            "SELECT name, value, changed FROM system.settings WHERE name IN ({}) FORMAT JSONCompactEachRow",
            names.join(", ")
        ))?;
        let list: Vec<String> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<(String, String, u8)>(line).ok())
            .map(|(name, value, changed)| match changed {
                0 => format!("{name} = DEFAULT"),
                _ => format!("{name} = {}", quote(&value)),
            })
            .collect();
        Ok(if list.is_empty() {
            None
        } else {
            Some(format!("SET {}", list.join(", ")))
        })
    }
}
