package io.faithfulsae.cli;

import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** An SAE and the place in a model where it belongs. */
final class SaeOnModel {
  private static final int DEFAULT_CONTEXT = 128;

  @Mixin ModelOptions models;
  @Mixin FilterOptions filters;

  @Option(
      names = "--sae",
      paramLabel = "DIR",
      required = true,
      description = "SAE folder (cfg.json, sae_weights.safetensors).")
  Path sae;

  @Option(
      names = "--hook",
      paramLabel = "HOOK",
      description = "Hook point. Default: the one that the SAE was trained on.")
  @Nullable String hook;

  @Option(
      names = "--context",
      paramLabel = "N",
      description = "Tokens a sequence. Default: as the SAE was trained, or the model's context.")
  @Nullable Integer context;

  HookPoint hookOf(Sae loaded) {
    String name = hook == null ? loaded.metadata().get("hook_name") : hook;
    if (name == null) {
      throw new IllegalArgumentException(
          "expected a hook point, got none: " + sae + " does not say its own; mend: give --hook");
    }
    return HookPoint.parse(name);
  }

  int contextOf(Sae loaded, int longest) {
    Map<String, String> metadata = loaded.metadata();
    int wanted =
        context == null
            ? Integer.parseInt(
                metadata.getOrDefault("context_size", String.valueOf(DEFAULT_CONTEXT)))
            : context;
    return Math.min(wanted, longest);
  }
}
