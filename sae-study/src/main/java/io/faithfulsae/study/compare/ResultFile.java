package io.faithfulsae.study.compare;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.study.provenance.Json;
import java.io.CharConversionException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads result files in the format of the study: a list of {@code {"run": {"model", "dataset",
 * ...}, "result": ...}}, where a result is numbers by name (fake features) or by task and name
 * (probing). Also reads our own studies' {@code results.json}, as {@link StudyRuns} describes.
 */
public final class ResultFile {
  private static final JsonMapper JSON =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();
  private static final String FAITHFUL = "faithful";
  private static final String LAYOUT =
      "a list of {\"run\": {\"model\", \"dataset\"}, \"result\": numbers by name, or by task and"
          + " name}";

  private ResultFile() {}

  /**
   * Reads all runs from some files.
   *
   * @param bySeed whether to keep the seeds of studies apart, each as a task; other files contain
   *     means over seeds
   * @throws SaeFormatException if a file has another format; the message gives the place
   */
  public static List<Run> read(List<Path> files, boolean bySeed) throws IOException {
    List<Run> runs = new ArrayList<>();
    StudyRuns studies = new StudyRuns();
    for (Path file : files) {
      JsonNode root = tree(file);
      if (StudyRuns.is(root)) {
        check(file, "checksum", root);
        studies.add(file, root);
      } else {
        runs.addAll(runs(file, root));
      }
    }
    runs.addAll(studies.runs(bySeed));
    return runs;
  }

  /** Reads all runs from one file, averaged over seeds. */
  public static List<Run> read(Path file) throws IOException {
    return read(List.of(file), false);
  }

  /**
   * The runs in a study's results, averaged over seeds.
   *
   * @param results the content of {@code results.json}
   */
  public static List<Run> ofStudy(JsonNode results) {
    StudyRuns study = new StudyRuns();
    try {
      study.add(Path.of("results.json"), results);
    } catch (SaeFormatException e) {
      throw new IllegalArgumentException(e.getMessage(), e);
    }
    return study.runs(false);
  }

  private static JsonNode tree(Path file) throws IOException {
    try {
      return JSON.readTree(Files.readAllBytes(file));
    } catch (JsonProcessingException e) {
      throw problem(file, "file", "JSON", e.getOriginalMessage());
    } catch (CharConversionException e) { // looks like UTF-16 or UTF-32
      throw problem(file, "file", "JSON", String.valueOf(e.getMessage()));
    }
  }

  private static List<Run> runs(Path file, JsonNode root) throws IOException {
    if (!root.isArray() || root.isEmpty()) {
      throw problem(file, "file", LAYOUT, root.getNodeType());
    }
    List<Run> runs = new ArrayList<>();
    for (int i = 0; i < root.size(); i++) {
      runs.add(run(file, "run " + i, root.get(i)));
    }
    return runs;
  }

  /**
   * Runs in the form in which they are written: each with a checksum, so that changes are detected.
   *
   * @param runs of {@code {"run", "result"}} each
   */
  public static JsonNode signed(List<?> runs) throws IOException {
    ArrayNode all = JSON.createArrayNode();
    for (Object each : runs) {
      ObjectNode run = (ObjectNode) Json.tree(each);
      all.add(run.put(CheckedJson.FIELD, CheckedJson.of(run)));
    }
    return all;
  }

  /** Files of other programs have no checksums. */
  private static void check(Path file, String place, JsonNode entry) throws IOException {
    if (entry instanceof ObjectNode run && run.has(CheckedJson.FIELD)) {
      JsonNode said = run.remove(CheckedJson.FIELD);
      String found = CheckedJson.of(run);
      if (!said.asText().equals(found)) {
        throw new SaeFormatException(
            file,
            place,
            Expected.message(
                "checksum " + found,
                said,
                "it was changed after it was written: measure again, or delete the checksum if the"
                    + " change is intended"));
      }
    }
  }

  private static Run run(Path file, String place, JsonNode entry) throws IOException {
    check(file, place, entry);
    String model = entry.path("run").path("model").asText("");
    String dataSet = entry.path("run").path("dataset").asText("");
    JsonNode result = entry.path("result");
    if (model.isEmpty() || dataSet.isEmpty() || !result.isObject() || result.isEmpty()) {
      throw problem(file, place, LAYOUT, shortened(entry));
    }
    Map<String, Map<String, Double>> results = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> field : result.properties()) {
      if (field.getValue().isObject()) {
        for (Map.Entry<String, JsonNode> measure : field.getValue().properties()) {
          put(file, place, results, field.getKey(), measure);
        }
      } else {
        put(file, place, results, Run.NO_TASK, field);
      }
    }
    return new Run(model, group(dataSet), results);
  }

  /** Each model has its own faithful data set, {@code faithful-MODEL}; they count as one kind. */
  static String group(String dataSet) {
    return dataSet.startsWith(FAITHFUL + "-") ? FAITHFUL : dataSet;
  }

  private static void put(
      Path file,
      String place,
      Map<String, Map<String, Double>> results,
      String task,
      Map.Entry<String, JsonNode> measure)
      throws SaeFormatException {
    if (!measure.getValue().isNumber() || !Double.isFinite(measure.getValue().doubleValue())) {
      throw problem(
          file, place, "a finite number for " + measure.getKey(), shortened(measure.getValue()));
    }
    results
        .computeIfAbsent(task, t -> new LinkedHashMap<>())
        .put(measure.getKey(), measure.getValue().doubleValue());
  }

  private static String shortened(JsonNode node) {
    String text = node.toString();
    return text.length() <= 120 ? text : text.substring(0, 120) + " …";
  }

  private static SaeFormatException problem(Path file, String place, String expected, Object got) {
    return new SaeFormatException(
        file,
        place,
        Expected.message(
            expected, got, "pass files that sae probe, sae fake-features or sae study wrote"));
  }
}
