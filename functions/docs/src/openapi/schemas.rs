//! `components.schemas`: the types that the functions read and write.

use activity::Activity;
use event_model::Event;
use events::answer::{Accepted, Invalid, NotStored, Refused, Validated};
use experiments::Experiments;
use funnel::Funnel;
use marts::Mart;
use retention::Retention;
use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};
use sessions::Sessions;

/// Every schema, by its name.
pub(super) fn all() -> Map<String, Value> {
    let mut written = generator(Contract::Serialize);
    add::<Accepted>(&mut written);
    add::<Validated>(&mut written);
    add::<Invalid>(&mut written);
    add::<Refused>(&mut written);
    add::<NotStored>(&mut written);
    add::<<Activity as Mart>::Answer<'_>>(&mut written);
    add::<<Sessions as Mart>::Answer<'_>>(&mut written);
    add::<<Experiments as Mart>::Answer<'_>>(&mut written);
    add::<<Retention as Mart>::Answer<'_>>(&mut written);
    add::<<Funnel as Mart>::Answer<'_>>(&mut written);
    add::<marts::error::Invalid>(&mut written);
    let mut all = written.take_definitions(true);
    // The one type that is read. What is written is one of the forms that are read.
    let mut read = generator(Contract::Deserialize);
    add::<Event>(&mut read);
    all.extend(read.take_definitions(true));
    all
}

/// The name of a type's schema.
pub(super) fn name<T: JsonSchema>() -> String {
    T::schema_name().into_owned()
}

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    // What it gives is the reference; the definition stays behind.
    let _reference = generator.subschema_for::<T>();
}

/// The same dialect as OpenAPI 3.1's, with references as the document has them.
fn generator(contract: Contract) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
        settings.contract = contract;
    });
    settings.into_generator()
}
