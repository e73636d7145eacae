package io.faithfulsae.architecture;

import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.Dependency;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.library.dependencies.SliceAssignment;
import com.tngtech.archunit.library.dependencies.SliceIdentifier;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** How modules and packages may depend on each other (docs/architecture.md). */
final class ArchitectureTest {
  private static final Path ROOT = Path.of("").toAbsolutePath().getParent();
  private static final Pattern MODULE = Pattern.compile("/([^/]+)/target/classes/");
  private static final Pattern MODULE_IN_POM = Pattern.compile("<module>([^<]+)</module>");

  private static JavaClasses classes;

  @BeforeAll
  static void readAllModules() throws IOException {
    try (Stream<Path> folders = Files.list(ROOT)) {
      List<Path> compiled =
          folders
              .map(folder -> folder.resolve("target/classes"))
              .filter(Files::isDirectory)
              .toList();
      classes = new ClassFileImporter().importPaths(compiled);
    }
  }

  /** Without classes, the other tests would pass trivially. */
  @Test
  void everyModuleIsRead() throws IOException {
    Set<String> declared = new TreeSet<>();
    Matcher module = MODULE_IN_POM.matcher(Files.readString(ROOT.resolve("pom.xml")));
    while (module.find()) {
      if (Files.isDirectory(ROOT.resolve(module.group(1)).resolve("src/main/java"))) {
        declared.add(module.group(1)); // sae-bom has no classes
      }
    }
    Set<String> read =
        classes.stream()
            .map(ArchitectureTest::moduleOf)
            .collect(Collectors.toCollection(TreeSet::new));
    assertTrue(declared.size() >= 10, declared.toString());
    assertEquals(declared, read);
  }

  @Test
  void noModuleUsesTheInternalsOfAnother() {
    Set<String> found = new TreeSet<>();
    for (JavaClass user : classes) {
      for (Dependency dependency : user.getDirectDependenciesFromSelf()) {
        JavaClass used = dependency.getTargetClass().getBaseComponentType();
        if (isOurs(used)
            && isInternal(used.getPackageName())
            && !moduleOf(user).equals(moduleOf(used))) {
          found.add(moduleOf(user) + ": " + user.getName() + " -> " + used.getName());
        }
      }
    }
    assertEquals(Set.of(), found);
  }

  /** A package counts as one with its internal packages. */
  @Test
  void packagesHaveNoCycles() {
    SliceAssignment byPackage =
        new SliceAssignment() {
          @Override
          public SliceIdentifier getIdentifierOf(JavaClass type) {
            return SliceIdentifier.of(
                type.getPackageName().replaceFirst("\\.internal(\\..*)?$", ""));
          }

          @Override
          public String getDescription() {
            return "packages with their internals";
          }
        };
    slices().assignedFrom(byPackage).should().beFreeOfCycles().check(classes);
  }

  private static boolean isOurs(JavaClass type) {
    return type.getPackageName().startsWith("io.faithfulsae") && type.getSource().isPresent();
  }

  private static boolean isInternal(String packageName) {
    return (packageName + ".").contains(".internal.");
  }

  private static String moduleOf(JavaClass type) {
    String source = type.getSource().orElseThrow().getUri().toString();
    Matcher module = MODULE.matcher(source);
    if (!module.find()) {
      throw new IllegalStateException(
          Expected.message(
              "classes in MODULE/target/classes",
              type.getName() + " in " + source,
              "compile all modules in place"));
    }
    return module.group(1);
  }
}
