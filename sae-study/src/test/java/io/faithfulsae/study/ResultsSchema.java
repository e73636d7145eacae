package io.faithfulsae.study;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.github.victools.jsonschema.generator.CustomDefinition;
import com.github.victools.jsonschema.generator.FieldScope;
import com.github.victools.jsonschema.generator.Option;
import com.github.victools.jsonschema.generator.OptionPreset;
import com.github.victools.jsonschema.generator.SchemaGenerator;
import com.github.victools.jsonschema.generator.SchemaGeneratorConfigBuilder;
import com.github.victools.jsonschema.generator.SchemaVersion;
import com.github.victools.jsonschema.module.jackson.JacksonModule;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import com.networknt.schema.ValidationMessage;
import io.faithfulsae.io.CheckedJson;
import java.lang.reflect.Type;
import java.nio.file.Path;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The schemas of {@code results.json} and of the commands' output, generated from the records. */
public final class ResultsSchema {
  private ResultsSchema() {}

  static String generate() {
    return generate(StudyResults.class);
  }

  /** The schema of a record, or of a generic type with its arguments. */
  public static String generate(Type type, Type... arguments) {
    SchemaGeneratorConfigBuilder builder =
        new SchemaGeneratorConfigBuilder(SchemaVersion.DRAFT_2020_12, OptionPreset.PLAIN_JSON)
            .with(new JacksonModule())
            .with(Option.DEFINITIONS_FOR_ALL_OBJECTS, Option.MAP_VALUES_AS_ADDITIONAL_PROPERTIES)
            .with(Option.FORBIDDEN_ADDITIONAL_PROPERTIES_BY_DEFAULT);
    // Null values are omitted from the file.
    builder.forFields().withRequiredCheck(field -> !isNullable(field));
    // Infinity, as in a filter without a bound, is a string in JSON.
    builder
        .forTypesInGeneral()
        .withTypeAttributeOverride(
            (node, scope, context) -> {
              Class<?> erased = scope.getType().getErasedType();
              if (erased == double.class || erased == Double.class) {
                node.putArray("type").add("number").add("string");
              }
            });
    builder
        .forTypesInGeneral()
        .withCustomDefinitionProvider(
            (resolved, context) ->
                resolved.getErasedType() == Path.class
                    ? new CustomDefinition(
                        context.getGeneratorConfig().createObjectNode().put("type", "string"))
                    : null);
    JsonNode schema = new SchemaGenerator(builder.build()).generateSchema(type, arguments);
    for (JsonNode of : schema.findValues("properties")) {
      if (of instanceof ObjectNode fields && fields.has("run") && fields.has("result")) {
        // A run in a result file is signed when written.
        fields.putObject(CheckedJson.FIELD).put("type", "string");
      }
    }
    return write(schema);
  }

  private static boolean isNullable(FieldScope field) {
    return field.getRawMember().getAnnotatedType().isAnnotationPresent(Nullable.class);
  }

  private static String write(JsonNode schema) {
    try {
      return JsonMapper.builder()
              .enable(SerializationFeature.INDENT_OUTPUT)
              .build()
              .writeValueAsString(schema)
          + "\n";
    } catch (com.fasterxml.jackson.core.JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Where a JSON value violates a schema. */
  public static Set<ValidationMessage> problems(JsonNode results, String schema) {
    JsonSchema checker =
        JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012).getSchema(schema);
    return checker.validate(results);
  }
}
