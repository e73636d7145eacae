package io.faithfulsae.cli;

import io.faithfulsae.io.Expected;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Sizes as people write them: 1000000, 256M, 20G, in powers of 1024. */
final class ByteSize implements ITypeConverter<Long> {
  private static final Pattern SIZE = Pattern.compile("(\\d{1,12})([KMGT]?)(I?B)?");

  @Override
  public Long convert(String value) {
    Matcher size = SIZE.matcher(value.toUpperCase(Locale.ROOT));
    if (!size.matches()) {
      throw new TypeConversionException(
          Expected.message("a size such as 256M or 20G", value, "write a whole number"));
    }
    int power = size.group(2).isEmpty() ? 0 : 1 + "KMGT".indexOf(size.group(2));
    return Math.multiplyExact(Long.parseLong(size.group(1)), 1L << (10 * power));
  }
}
