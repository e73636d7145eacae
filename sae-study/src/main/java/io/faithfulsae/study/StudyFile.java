package io.faithfulsae.study;

import com.fasterxml.jackson.annotation.JsonSetter;
import com.fasterxml.jackson.annotation.Nulls;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.provenance.internal.YamlErrors;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A study as written in a file: one or several models, each with its settings. {@code
 * default-study.yaml} explains the format.
 *
 * @param models settings by model name, in file order; at least one
 */
public record StudyFile(Map<String, StudyConfig> models) {
  private static final String MODELS = "models";
  private static final String MODEL = "model";
  private static final String PRESET = "preset";
  private static final String DATA_SETS = "dataSets";
  private static final String GENERATE = "generate";
  private static final Pattern NOT_FINITE =
      Pattern.compile("[-+]?(\\.?nan|\\.?inf(inity)?)", Pattern.CASE_INSENSITIVE);
  private static final YAMLMapper YAML =
      YAMLMapper.builder()
          .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
          .enable(MapperFeature.ACCEPT_CASE_INSENSITIVE_ENUMS)
          // A list that is null, or has a null in it, is a mistake in every setting.
          .defaultSetterInfo(JsonSetter.Value.forContentNulls(Nulls.FAIL))
          .withConfigOverride(
              List.class,
              list -> list.setSetterInfo(JsonSetter.Value.construct(Nulls.FAIL, Nulls.FAIL)))
          .build();

  /** Names the folder of a model's results, inside that of the study. */
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_-][A-Za-z0-9._-]*");

  /**
   * Checks references between the models.
   *
   * @throws IllegalArgumentException naming the setting
   */
  public StudyFile {
    models = java.util.Collections.unmodifiableMap(new LinkedHashMap<>(models));
    StudyConfig.require(!models.isEmpty(), MODELS, "at least one", models);
    for (Map.Entry<String, StudyConfig> model : models.entrySet()) {
      String at = MODELS + "." + model.getKey();
      StudyConfig.require(
          NAME.matcher(model.getKey()).matches(),
          at,
          "a name of letters, digits, ., - and _ that does not start with a .",
          model.getKey());
      for (DataSet set : model.getValue().dataSets()) {
        if (set.from() != null) {
          StudyConfig.require(
              writes(models, set.from()),
              at + ".dataSets." + set.name() + ".from",
              "model/data set, of a data set that another model generates",
              set.from());
        }
      }
    }
  }

  private static boolean writes(Map<String, StudyConfig> models, String from) {
    int slash = from.indexOf('/');
    StudyConfig other = slash < 0 ? null : models.get(from.substring(0, slash));
    String name = from.substring(slash + 1);
    return other != null
        && other.dataSets().stream()
            .anyMatch(set -> set.name().equals(name) && set.generate() != null);
  }

  /** The default study of the embedded model. */
  public static StudyFile defaults() {
    try {
      return parse(YAML.createObjectNode(), null);
    } catch (IOException e) {
      throw new IllegalStateException("the default study is part of the build", e);
    }
  }

  /**
   * Reads a YAML file; omitted settings are those of the default study. Paths in the file are
   * relative to it.
   *
   * @throws SaeFormatException if it is not YAML, or contains an unknown setting or an invalid
   *     value
   */
  public static StudyFile read(Path file) throws IOException {
    return read(file, null);
  }

  /**
   * Reads a YAML file as the settings of a given model.
   *
   * @param model folder of the model, relative to the working directory; null to use the file's
   * @throws SaeFormatException as {@link #read(Path)}, or if the file itself names several models
   */
  public static StudyFile read(Path file, @Nullable String model) throws IOException {
    ObjectNode changes = YAML.createObjectNode();
    try {
      JsonNode given = YAML.readTree(file.toFile());
      if (given instanceof ObjectNode settings) {
        changes = settings;
      } else if (!given.isMissingNode() && !given.isNull()) {
        throw new SaeFormatException(
            file,
            "study",
            Expected.message("settings", given.getNodeType(), "see the default study"));
      }
      requireFinite(changes, "");
      if (model != null) {
        StudyConfig.require(
            !isNamed(changes), MODELS, "none together with --model", names(changes.path(MODELS)));
        changes.put(MODEL, Path.of(model).toAbsolutePath().toString());
      }
      return parse(changes, file.toAbsolutePath().getParent());
    } catch (JsonProcessingException e) {
      throw YamlErrors.of(file, e, "study");
    } catch (IllegalArgumentException e) {
      throw YamlErrors.of(file, e, "study");
    }
  }

  /** The default study of another model. */
  public static StudyFile ofModel(String folder) throws IOException {
    return parse(YAML.createObjectNode().put(MODEL, folder), null);
  }

  private static boolean isNamed(ObjectNode changes) {
    return changes.get(MODELS) instanceof ObjectNode several && !several.isEmpty();
  }

  private static List<String> names(JsonNode models) {
    List<String> names = new ArrayList<>();
    models.fieldNames().forEachRemaining(names::add);
    return names;
  }

  private static StudyFile parse(ObjectNode changes, @Nullable Path folder) throws IOException {
    Map<String, StudyConfig> models = new LinkedHashMap<>();
    ObjectNode common = changes.deepCopy();
    common.remove(MODELS);
    if (isNamed(changes)) {
      for (Map.Entry<String, JsonNode> each : changes.path(MODELS).properties()) {
        ObjectNode own = common.deepCopy();
        if (each.getValue() instanceof ObjectNode theirs) {
          merge(own, theirs);
        }
        models.put(each.getKey(), config(own, folder));
      }
    } else {
      StudyConfig one = config(common, folder);
      models.put(nameOf(one), one);
    }
    return new StudyFile(models);
  }

  /**
   * Omitted settings come from the preset, or else from the default study. Lists are replaced as a
   * whole, so what a data set omits from {@code generate} is filled in here.
   */
  private static StudyConfig config(ObjectNode changes, @Nullable Path folder) throws IOException {
    ObjectNode tree = defaultTree();
    tree.remove(MODELS);
    String preset = changes.path(PRESET).asText("");
    if (!preset.isEmpty() && !preset.equals("null")) {
      StudyConfig.require(
          preset.equals(AuthorsPreset.NAME), PRESET, AuthorsPreset.NAME + " or none", preset);
      String model = changes.path(MODEL).asText("");
      Path given = model.isEmpty() || changes.path(MODEL).isNull() ? null : Path.of(model);
      merge(
          tree,
          AuthorsPreset.settings(given == null || folder == null ? given : folder.resolve(given)));
    }
    JsonNode defaults = tree.path(DATA_SETS).path(0).path(GENERATE);
    merge(tree, changes);
    for (JsonNode set : tree.path(DATA_SETS)) {
      if (set instanceof ObjectNode own && own.get(GENERATE) instanceof ObjectNode given) {
        ObjectNode whole = defaults.deepCopy();
        merge(whole, given);
        own.set(GENERATE, whole);
      }
    }
    return YAML.treeToValue(tree, StudyConfig.class).relativeTo(folder);
  }

  /** The folder's name, reduced to characters allowed in our own folder names. */
  private static String nameOf(StudyConfig one) {
    String folder = one.model();
    Path name = folder == null ? null : Path.of(folder).toAbsolutePath().normalize().getFileName();
    return name == null
        ? EmbeddedModel.NAME
        : name.toString().replaceAll("^\\.|[^A-Za-z0-9._-]", "-");
  }

  /** NaN and infinity are invalid in any spelling that YAML or Jackson accepts. */
  private static void requireFinite(JsonNode node, String at) {
    boolean number = node.isNumber() && !Double.isFinite(node.doubleValue());
    boolean word = node.isTextual() && NOT_FINITE.matcher(node.textValue()).matches();
    StudyConfig.require(!number && !word, at, "a finite number", node.asText());
    node.properties()
        .forEach(
            field ->
                requireFinite(
                    field.getValue(), at.isEmpty() ? field.getKey() : at + "." + field.getKey()));
    for (int i = 0; node.isArray() && i < node.size(); i++) {
      requireFinite(node.get(i), at + "[" + i + "]");
    }
  }

  static void merge(ObjectNode into, ObjectNode changes) {
    for (Map.Entry<String, JsonNode> change : changes.properties()) {
      if (into.get(change.getKey()) instanceof ObjectNode deeper
          && (change.getValue() instanceof ObjectNode || change.getValue().isNull())) {
        // A section whose settings are all commented out is null in YAML: it changes nothing.
        if (change.getValue() instanceof ObjectNode part) {
          merge(deeper, part);
        }
      } else {
        into.set(change.getKey(), change.getValue());
      }
    }
  }

  private static ObjectNode defaultTree() throws IOException {
    try (InputStream in = StudyFile.class.getResourceAsStream("default-study.yaml")) {
      return (ObjectNode) YAML.readTree(in);
    }
  }
}
