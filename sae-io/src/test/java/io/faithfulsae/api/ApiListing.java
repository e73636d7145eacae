package io.faithfulsae.api;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A module's public API: every public type outside {@code internal} packages and its public and
 * protected members, one line each.
 */
public final class ApiListing {
  private static final Set<String> GENERATED_IN_RECORDS = Set.of("equals", "hashCode", "toString");
  private static final Set<String> GENERATED_IN_ENUMS = Set.of("values", "valueOf");

  private final Path module;
  private final List<Class<?>> types;

  private ApiListing(Path module, List<Class<?>> types) {
    this.module = module;
    this.types = types;
  }

  /** Reads the module that contains the class, from its {@code target/classes}. */
  public static ApiListing ofModuleWith(Class<?> anchor) {
    try {
      Path classes =
          Path.of(anchor.getProtectionDomain().getCodeSource().getLocation().toURI())
              .toAbsolutePath();
      if (!classes.endsWith(Path.of("target", "classes"))) {
        throw new IllegalStateException(
            "expected the classes of a module in target/classes, got " + classes);
      }
      return new ApiListing(classes.getParent().getParent(), publicTypes(classes, anchor));
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<Class<?>> publicTypes(Path classes, Class<?> anchor) throws IOException {
    try (Stream<Path> files = Files.walk(classes)) {
      return files
          .map(file -> classes.relativize(file).toString())
          .filter(name -> name.endsWith(".class") && !name.endsWith("package-info.class"))
          .map(name -> name.substring(0, name.length() - ".class".length()).replace('/', '.'))
          .filter(name -> !name.contains(".internal."))
          .map(name -> load(name, anchor))
          .filter(ApiListing::isReachable)
          .sorted(Comparator.comparing(Class::getName))
          .collect(Collectors.toList());
    }
  }

  private static Class<?> load(String name, Class<?> anchor) {
    try {
      return Class.forName(name, false, anchor.getClassLoader());
    } catch (ClassNotFoundException e) {
      throw new IllegalStateException(e);
    }
  }

  private static boolean isReachable(Class<?> type) {
    for (Class<?> t = type; t != null; t = t.getEnclosingClass()) {
      if (!isOffered(t.getModifiers()) || t.isAnonymousClass() || t.isLocalClass()) {
        return false;
      }
    }
    return true;
  }

  private static boolean isOffered(int modifiers) {
    return Modifier.isPublic(modifiers) || Modifier.isProtected(modifiers);
  }

  /** The module's folder. */
  public Path module() {
    return module;
  }

  /** Names of the public top-level types. */
  public List<String> topLevelTypes() {
    return types.stream().filter(t -> t.getEnclosingClass() == null).map(Class::getName).toList();
  }

  /** The listing: a line for each type, indented lines for its members. */
  public List<String> lines() {
    List<String> lines = new ArrayList<>();
    for (Class<?> type : types) {
      lines.add(header(type));
      members(type).sorted().distinct().forEach(member -> lines.add("  " + member));
    }
    return lines;
  }

  private static String header(Class<?> type) {
    // JDK 17 leaves "sealed" out, later ones do not.
    StringBuilder text =
        new StringBuilder(type.toGenericString().replaceFirst("\\b(non-)?sealed ", ""));
    if (type.getGenericSuperclass() != null && type.getSuperclass() != Object.class) {
      text.append(" extends ").append(type.getGenericSuperclass().getTypeName());
    }
    if (type.getInterfaces().length > 0) {
      text.append(type.isInterface() ? " extends " : " implements ");
      text.append(
          Arrays.stream(type.getGenericInterfaces())
              .map(java.lang.reflect.Type::getTypeName)
              .collect(Collectors.joining(", ")));
    }
    return shorten(text.toString());
  }

  private static Stream<String> members(Class<?> type) {
    Stream<String> fields =
        Arrays.stream(type.getDeclaredFields())
            .filter(f -> isOffered(f.getModifiers()) && !f.isSynthetic())
            .map(Field::toGenericString);
    Stream<String> constructors =
        Arrays.stream(type.getDeclaredConstructors())
            .filter(c -> isOffered(c.getModifiers()) && !c.isSynthetic())
            .map(Constructor::toGenericString);
    Stream<String> methods =
        Arrays.stream(type.getDeclaredMethods())
            .filter(m -> isOffered(m.getModifiers()) && !m.isSynthetic() && !isGenerated(type, m))
            .map(Method::toGenericString);
    return Stream.of(fields, constructors, methods)
        .flatMap(all -> all)
        .map(line -> shorten(line.replace(type.getName() + ".", "")));
  }

  private static boolean isGenerated(Class<?> type, Method method) {
    return (type.isRecord() && GENERATED_IN_RECORDS.contains(method.getName()))
        || (type.isEnum() && GENERATED_IN_ENUMS.contains(method.getName()));
  }

  private static String shorten(String line) {
    return line.replace("java.lang.", "")
        .replace("synchronized ", "")
        .replaceAll("\\bio\\.faithfulsae\\.", "");
  }
}
