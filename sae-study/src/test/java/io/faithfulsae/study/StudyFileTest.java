package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.tasks.TaskFile;
import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Partial settings: the others are as documented. */
final class StudyFileTest {
  @TempDir Path dir;

  @Test
  void everySettingCanBeGivenAlone() throws IOException {
    JsonNode defaults = tree(StudyFile.defaults());
    List<String> given = new ArrayList<>();
    for (RecordComponent section : StudyConfig.class.getRecordComponents()) {
      if (!section.getType().isRecord()) {
        continue;
      }
      for (RecordComponent setting : section.getType().getRecordComponents()) {
        String at = section.getName() + "." + setting.getName();
        JsonNode value = other(defaults.path(section.getName()).path(setting.getName()));
        JsonNode read =
            tree(read("%s: {%s: %s}".formatted(section.getName(), setting.getName(), value)));
        ObjectNode expected = defaults.deepCopy();
        if (!value.isMissingNode()) { // null values are omitted
          ((ObjectNode) expected.get(section.getName())).set(setting.getName(), value);
        }
        assertEquals(expected, read, at);
        given.add(at);
      }
    }
    assertTrue(given.size() > 30, given.toString());
  }

  @Test
  void everySettingOfGenerateCanBeGivenAlone() throws IOException {
    JsonNode defaults = tree(StudyFile.defaults()).path("dataSets").path(0).path("generate");
    assertEquals(1.0, defaults.path("temperature").asDouble());
    assertEquals(defaults, generate(read("dataSets: [{name: own, generate: {}}]")));
    List<String> settings =
        Arrays.stream(StudyConfig.Generate.class.getRecordComponents())
            .map(RecordComponent::getName)
            .toList();
    for (String setting : settings) {
      JsonNode value = other(defaults.path(setting));
      assertNotEquals(defaults.path(setting), value);
      ObjectNode expected = defaults.deepCopy();
      expected.set(setting, value);
      String sets = "dataSets: [{name: own, generate: {%s: %s}}]".formatted(setting, value);
      assertEquals(expected, generate(read(sets)), setting);
      assertEquals(expected, generate(read("models: {one: {%s}}".formatted(sets))), setting);
    }
  }

  @Test
  void sectionWithoutSettingsChangesNothing() throws IOException {
    assertEquals(StudyFile.defaults(), read("training:\n  # lr: 0.1\nbootstrap:\n"));
  }

  @Test
  void whatIsMissingIsSaidInOurWords() {
    for (String[] wrong :
        new String[][] {
          {"training: {batch: null}", "training.batch", "expected a value, got null"},
          {"training: {lr: null}", "training.lr", "expected a value, got null"},
          {"dataSets: null", "dataSets", "expected a value, got null"},
          {"dataSets: [null]", "dataSets", "expected a value, got null"},
          {"seeds: [1, null]", "seeds", "expected a value, got null"},
          {"checks: {nGrams: null}", "checks.nGrams", "expected a value, got null"},
          {"kCurve: {multiples: null}", "kCurve.multiples", "expected a value, got null"},
          {"featureSubsets: {rankBy: [null]}", "featureSubsets.rankBy", "a value, got null"},
          {"probing: {only: null}", "probing.only", "expected a value, got null"},
          {
            "dataSets: [{name: own, generate: {}}, {name: mix, mixture: {own: null}}]",
            "mixture",
            "expected a value, got null"
          },
          {"hook: null", "hook", "expected a hook point, or middle, got null"},
          {"probing: " + "[".repeat(2000), "study", "expected YAML, got"},
          {"probing: " + "{a: ".repeat(2000), "study", "expected YAML, got"},
          {"dataSets: [{file: embedded}]", "dataSets", "expected a name of letters"},
          {
            "dataSets: [{name: own}]",
            "dataSets.own",
            "expected one of generate, file, from and mixture"
          },
          {"dataSets: [{name: own, generate: {tokens: null}}]", "tokens", "expected a value"},
        }) {
      SaeFormatException e = assertThrows(SaeFormatException.class, () -> read(wrong[0]));
      String said = String.valueOf(e.getMessage());
      assertTrue(said.contains(wrong[1]) && said.contains(wrong[2]), said);
    }
  }

  @Test
  void errorsNameFileLineSettingAndWhatIsAccepted() {
    String[][] wrong = {
      {
        "seeds: [1]\ntraining:\n  batch: 128\n  btach: 64\n",
        "line 4, training.btach: expected one of batch, bufferRows, decaySteps, lr, ",
        ", got btach; correct"
      },
      {"trainning: {}", "line 1, trainning: expected one of batchSequences, ", "got trainning"},
      {
        "training:\n  batch: many\n",
        "line 2, training.batch: expected an integer of at most 32 bits, got many"
      },
      {
        "training:\n  batch: [1, 2]\n",
        "line 2, training.batch: expected an integer of at most 32 bits, got a list"
      },
      {"sharedFeatures:\n  threshold: high", "line 2, sharedFeatures.threshold: expected a number"},
      {"filter:\n\n  skipBos: perhaps\n", "line 3, filter.skipBos: expected true or false"},
      {"context: 8\nfilter: 3\n", "line 2, filter: expected settings, each as name: value, got"},
      {"kCurve:\n  multiples: 2\n", "line 2, kCurve.multiples: expected a list, got a single"},
      {
        "featureSubsets:\n  rankBy:\n    - frequency\n    - fame\n",
        "line 4, featureSubsets.rankBy[1]: expected one of FREQUENCY, MEAN_ACTIVATION, ",
        "got fame"
      },
      {"\ncontext: 1", "line 2, context: expected at least 2, got 1"},
      {
        "models:\n  one: {}\n  two:\n    training:\n      btach: 1\n",
        "line 5, training.btach: expected one of batch"
      },
      {"seeds: [1\ncontext: 2\n", "line 2: expected YAML"},
    };
    for (String[] each : wrong) {
      SaeFormatException e = assertThrows(SaeFormatException.class, () -> read(each[0]), each[0]);
      String said = String.valueOf(e.getMessage());
      assertTrue(said.startsWith(dir.resolve("study.yaml") + ": " + each[1]), said);
      assertTrue(said.contains(each[each.length - 1]), said);
      assertFalse(said.contains("java") || said.contains("class ") || said.contains("`"), said);
    }
  }

  @Test
  void errorsInTasksNameTheirLine() throws IOException {
    Path file = Files.writeString(dir.resolve("t.yaml"), "sst2:\n  classes: [a, b]\n  tests: x\n");
    SaeFormatException e = assertThrows(SaeFormatException.class, () -> TaskFile.read(file));
    assertEquals(
        file
            + ": line 3, sst2.tests: expected one of classes, test, train, got tests;"
            + " correct the name, or delete the setting",
        e.getMessage());
  }

  @Test
  void sectionsThatAreNullChangeNothing() throws IOException {
    for (RecordComponent section : StudyConfig.class.getRecordComponents()) {
      if (section.getType().isRecord()) {
        StudyFile study = read("models: {one: {%s: null}}".formatted(section.getName()));
        assertEquals(
            StudyFile.defaults().models().values().iterator().next(),
            study.models().get("one"),
            section.getName());
      }
    }
  }

  @Test
  void namesOfModelsStayInTheStudysFolder() throws IOException {
    for (String name : new String[] {"..", ".", "../x", "/tmp/x", ".lock", "a/b", ""}) {
      SaeFormatException e =
          assertThrows(
              SaeFormatException.class, () -> read("models: {'%s': {}}".formatted(name)), name);
      assertTrue(String.valueOf(e.getMessage()).contains("does not start with a ."), name);
    }
    StudyFile hidden = StudyFile.ofModel("/models/.cache");
    assertEquals(List.of("-cache"), List.copyOf(hidden.models().keySet()));
  }

  private StudyFile read(String yaml) throws IOException {
    return StudyFile.read(Files.writeString(dir.resolve("study.yaml"), yaml));
  }

  private static JsonNode tree(StudyFile study) throws IOException {
    // By text, so that 1 is an integer whether it was an int or a long.
    StudyConfig one = study.models().values().iterator().next();
    return Json.mapper().readTree(Json.line(one));
  }

  private static JsonNode generate(StudyFile study) throws IOException {
    return tree(study).path("dataSets").path(0).path("generate");
  }

  /** Another valid value of the same kind, if there is one. */
  private static JsonNode other(JsonNode value) throws IOException {
    if (value.isBoolean()) {
      return Json.mapper().readTree(String.valueOf(!value.asBoolean()));
    }
    if (value.isIntegralNumber()) {
      return Json.mapper().readTree(String.valueOf(value.asLong() + 1));
    }
    return value.isDouble() ? Json.mapper().readTree(String.valueOf(value.asDouble() / 2)) : value;
  }
}
