package io.faithfulsae.cli;

import io.faithfulsae.ShardIndex.Precision;
import io.faithfulsae.ShardWriter;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How activations are laid out on the disk. */
final class ShardOptions {
  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      defaultValue = "fp32",
      description =
          "Of shards: fp32 or bf16, which takes half the room (default: ${DEFAULT-VALUE}).")
  Precision precision;

  @Option(
      names = "--shard-bytes",
      paramLabel = "SIZE",
      defaultValue = "256M",
      converter = ByteSize.class,
      description = "Most bytes of a shard, up to 1G (default: ${DEFAULT-VALUE}).")
  long shardBytes;

  @Option(
      names = "--max-bytes",
      paramLabel = "SIZE",
      converter = ByteSize.class,
      description = "Most bytes of all shards, checked before it starts. Default: the free disk.")
  @Nullable Long maxBytes;

  @Option(
      names = "--rows",
      paramLabel = "N",
      description = "Rows to write, at most. Default: all of the text.")
  @Nullable Long rows;

  ShardWriter.Options with(Map<String, String> metadata) {
    return new ShardWriter.Options(
        precision,
        shardBytes,
        maxBytes == null ? Long.MAX_VALUE : maxBytes,
        rows == null ? Long.MAX_VALUE : rows,
        metadata);
  }
}
