package io.faithfulsae.training;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.ActivationFilter.Counts;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.internal.RowBuffer.Mark;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.random.Rng;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.training.TrainingResult.Reason;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Objects;
import java.util.Optional;

/** Reads and writes {@code training.json}, which records how an SAE was trained. */
final class Provenance {
  private static final String FILE = "training.json";
  private static final JsonMapper JSON = new JsonMapper();

  private Provenance() {}

  static Path file(Path dir) {
    return dir.resolve(FILE);
  }

  static void write(TrainingMember member, ActivationSource source, TrainingResult result)
      throws IOException {
    ObjectNode json = JSON.createObjectNode();
    json.put("faithfulsae", version());
    json.put("java", System.getProperty("java.version"));
    json.put("os", System.getProperty("os.name") + " " + System.getProperty("os.arch"));
    json.put("finished", Instant.now().toString());
    json.set("sae", JSON.valueToTree(member.settings.sae()));
    json.set("training", JSON.valueToTree(member.settings.training()));
    json.put("random", Rng.ALGORITHM);
    json.put("initial_weights", member.settings.initial() == null ? "random" : "given");
    json.put("source", source.description());
    describe(member.settings.backend(), json.putObject("backend"));
    if (!member.settings.replicas().isEmpty()) {
      ArrayNode replicas = json.putArray("replicas");
      for (Backend on : member.settings.replicas()) {
        describe(on, replicas.addObject());
      }
    }
    json.put("activation_scale", member.activationScale());
    ObjectNode outcome = json.putObject("result");
    outcome.put("steps", result.steps());
    outcome.put("tokens", result.tokens());
    outcome.put("epochs", result.epochs());
    outcome.set("rows", JSON.valueToTree(result.counts()));
    result.last().ifPresent(last -> outcome.set("last_step", lastStep(last)));
    CheckedJson.write(file(member.dir), json);
  }

  private static void describe(Backend backend, ObjectNode into) throws JsonProcessingException {
    Backend.Info info = backend.info();
    into.put("name", info.name()).put("device", info.device());
    into.set("details", JSON.readTree(info.details()));
  }

  /** Reads the result of a completed run, after checking that its configuration matches. */
  static TrainingResult read(Path dir, SaeTrainer settings, ActivationSource source)
      throws IOException {
    Path file = file(dir);
    try {
      // Checked before the checksum, which older versions did not write.
      ObjectNode json = CheckedJson.parse(file, "train again");
      Checkpoint.checkRandom(file, json.path("random").asText());
      CheckedJson.verify(file, json, "train again");
      TrainingConfig training = JSON.treeToValue(json.path("training"), TrainingConfig.class);
      Checkpoint.requireKnown(json.path("training"), training);
      JsonNode outcome = json.path("result");
      long steps = outcome.path("steps").asLong();
      new Checkpoint(
              steps,
              JSON.treeToValue(json.path("sae"), SaeConfig.class),
              training,
              json.path("source").asText(),
              json.path("backend").path("name").asText(),
              1,
              Mark.START)
          .checkSame(file, settings.sae(), settings.training(), source.description());
      long tokens = outcome.path("tokens").asLong();
      return new TrainingResult(
          Reason.COMPLETED,
          dir,
          steps,
          tokens,
          outcome.path("epochs").asLong(),
          JSON.treeToValue(outcome.path("rows"), Counts.class),
          lastStep(outcome.path("last_step"), steps, tokens));
    } catch (JsonProcessingException e) {
      throw new SaeFormatException(
          file,
          "JSON",
          Expected.message("a valid training record", e.getOriginalMessage(), "train again"));
    }
  }

  private static ObjectNode lastStep(TrainingProgress last) {
    return JSON.createObjectNode()
        .put("loss", last.loss())
        .put("fvu", last.fvu())
        .put("l0", last.l0())
        .put("dead", last.dead())
        .put("tokens_per_second", last.tokensPerSecond());
  }

  private static Optional<TrainingProgress> lastStep(JsonNode json, long steps, long tokens) {
    if (json.isMissingNode()) {
      return Optional.empty();
    }
    return Optional.of(
        new TrainingProgress(
            steps,
            steps,
            tokens,
            json.path("loss").asDouble(),
            json.path("fvu").asDouble(),
            json.path("l0").asDouble(),
            json.path("dead").asLong(),
            json.path("tokens_per_second").asDouble(),
            Duration.ZERO));
  }

  private static String version() {
    Package home = Provenance.class.getPackage();
    return Objects.requireNonNullElse(home.getImplementationVersion(), "development");
  }
}
