package io.faithfulsae.cli;

import io.faithfulsae.ShardIndex.Precision;
import io.faithfulsae.ShardWriter;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How activations are laid out on disk. */
final class ShardOptions {
  @Option(
      names = "--dtype",
      paramLabel = "TYPE",
      defaultValue = "fp32",
      description =
          "Format of shards: fp32, or bf16 in half the space (default: ${DEFAULT-VALUE}).")
  Precision precision;

  @Option(
      names = "--shard-bytes",
      paramLabel = "SIZE",
      defaultValue = "256M",
      converter = ByteSize.class,
      description = "Maximum bytes per shard, up to 1G (default: ${DEFAULT-VALUE}).")
  long shardBytes;

  @Option(
      names = "--max-bytes",
      paramLabel = "SIZE",
      converter = ByteSize.class,
      description =
          "Maximum bytes of all shards, checked before the start. Default: the free disk space.")
  @Nullable Long maxBytes;

  @Option(
      names = "--rows",
      paramLabel = "N",
      description = "Maximum rows to write. Default: the whole text.")
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
