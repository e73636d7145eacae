package io.faithfulsae.study.tasks;

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.metrics.ProbeTask;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.study.provenance.internal.YamlErrors;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Text classification tasks and the locations of their files; {@code tasks.yaml} explains the
 * format and contains the tasks of the study.
 */
public final class TaskFile {
  private static final YAMLMapper YAML = new YAMLMapper();

  private final Map<String, Task> tasks;
  private final Path folder;

  /** A task as written in the file. */
  record Task(
      List<String> classes,
      @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY) List<LabelledFiles> train,
      @JsonFormat(with = JsonFormat.Feature.ACCEPT_SINGLE_VALUE_AS_ARRAY)
          List<LabelledFiles> test) {}

  private TaskFile(Map<String, Task> tasks, Path folder) {
    this.tasks = tasks;
    this.folder = folder;
  }

  /** The study's tasks, in a folder with one subfolder per task. */
  public static TaskFile builtIn(Path folder) {
    try (InputStream in = TaskFile.class.getResourceAsStream("tasks.yaml")) {
      return new TaskFile(YAML.readValue(in, new TypeReference<>() {}), folder);
    } catch (IOException e) {
      throw new IllegalStateException("the study's tasks are part of the build", e);
    }
  }

  /**
   * Reads a YAML file.
   *
   * @throws SaeFormatException if its format is invalid
   */
  public static TaskFile read(Path file) throws IOException {
    try {
      Map<String, Task> tasks =
          YAML.readValue(file.toFile(), new TypeReference<LinkedHashMap<String, Task>>() {});
      for (Map.Entry<String, Task> task : tasks.entrySet()) {
        if (task.getValue().classes() == null
            || task.getValue().train() == null
            || task.getValue().test() == null) {
          throw new SaeFormatException(
              file,
              task.getKey(),
              Expected.message("classes, train and test", task.getValue(), "add them"));
        }
      }
      return new TaskFile(tasks, file.toAbsolutePath().resolveSibling(""));
    } catch (JsonProcessingException e) {
      throw YamlErrors.of(file, e, "tasks");
    }
  }

  /** Names of all tasks. */
  public Set<String> names() {
    return tasks.keySet();
  }

  /** Names of the tasks whose files exist. */
  public List<String> present() {
    return tasks.entrySet().stream()
        .filter(
            task ->
                task.getValue().train().stream().anyMatch(this::isThere)
                    && task.getValue().test().stream().anyMatch(this::isThere))
        .map(Map.Entry::getKey)
        .toList();
  }

  /** The files that a task reads. */
  public List<Path> files(String name) throws IOException {
    Task task = task(name);
    List<Path> files = new ArrayList<>(choose(name, task.train()).paths(folder));
    files.addAll(choose(name, task.test()).paths(folder));
    return files;
  }

  /**
   * Reads and tokenizes a task.
   *
   * @param context maximum tokens per text, including BOS
   * @throws SaeFormatException if a file or column is missing or a label is unknown
   */
  public ProbeTask open(String name, Tokenizer tokenizer, int context) throws IOException {
    Task task = task(name);
    return new ProbeTask(
        name,
        task.classes(),
        choose(name, task.train()).read(folder, task.classes(), tokenizer, context),
        choose(name, task.test()).read(folder, task.classes(), tokenizer, context));
  }

  private Task task(String name) {
    Task task = tasks.get(name);
    if (task == null) {
      throw new IllegalArgumentException(
          Expected.message("one of the tasks " + tasks.keySet(), name, "choose one of these"));
    }
    return task;
  }

  private LabelledFiles choose(String name, List<LabelledFiles> alternatives) throws IOException {
    for (LabelledFiles each : alternatives) {
      if (isThere(each)) {
        return each;
      }
    }
    throw new SaeFormatException(
        folder,
        "task " + name,
        Expected.message(
            "the files of one of " + alternatives.stream().map(LabelledFiles::files).toList(),
            "none",
            "add them"));
  }

  private boolean isThere(LabelledFiles part) {
    return part.paths(folder).stream().allMatch(Files::isRegularFile);
  }
}
