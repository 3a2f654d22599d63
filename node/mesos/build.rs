//! Compiles the Mesos messages: binary codec by prost, JSON codec and required checks by our own
//! generator. Neither needs `protoc`.

mod generator;

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Label;

use generator::model::Schema;

const FILES: [&str; 4] = [
    "mesos/v1/mesos.proto",
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/master/master.proto",
    "mesos/v1/agent/agent.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=generator");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let mut files = protox::compile(FILES, ["proto"])?;

    let schema = Schema::new(&files);
    fs::write(out.join("mesos_json.rs"), generator::generate(&schema))?;

    relax(&mut files);
    prost_build::Config::new()
        .btree_map(["."])
        .out_dir(&out)
        .compile_fds(files)?;
    Ok(())
}

/// Makes every required field optional, since prost reads an absent required field as its zero and
/// says nothing: what is required is checked by the code that the generator writes. Takes the mark of
/// deprecation away, since old clients still send such fields and reading them is no mistake.
fn relax(files: &mut FileDescriptorSet) {
    let mut left: Vec<_> = files
        .file
        .iter_mut()
        .flat_map(|f| &mut f.message_type)
        .collect();
    while let Some(message) = left.pop() {
        for field in &mut message.field {
            if field.label() == Label::Required {
                field.set_label(Label::Optional);
            }
            if let Some(options) = &mut field.options {
                options.deprecated = None;
            }
        }
        left.extend(&mut message.nested_type);
    }
}
