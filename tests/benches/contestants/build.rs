//! gRPC's code, from `bench.proto`; protox compiles it, so that no protoc need be installed.

fn main() {
    println!("cargo::rerun-if-changed=bench.proto");
    #[cfg(feature = "grpc")]
    {
        let descriptors = protox::compile(["bench.proto"], ["."]).expect("bench.proto is right");
        tonic_prost_build::configure()
            .build_server(false)
            .bytes(".") // moved into the message, not copied
            .compile_fds(descriptors)
            .expect("the output folder is writable");
    }
}
