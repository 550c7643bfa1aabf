"""Kinds of findings of a dataset check: severity and advice."""

import dataclasses

LEVELS = ('error', 'warning', 'note')


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
      level: 'error' (training stops, or its metrics are invalid), 'warning' (training
        runs, with worse results) or 'note'.
      title: description, in the plural.
      advice: what to do.
    """

    level: str
    title: str
    advice: str


_AGAIN = 'get the files again, or remove them'

#: name -> `Kind`, the most severe first; also the order of a report.
KINDS = {
    'refused': Kind(
        'error', 'Data that training refuses', 'fix what the message names'
    ),
    'layout': Kind(
        'error', 'Directories with an ambiguous meaning', 'rename or move them'
    ),
    'corrupt_file': Kind('error', 'Corrupt TFRecord files', _AGAIN),
    'empty_file': Kind('error', 'Empty files', _AGAIN),
    'not_an_image': Kind(
        'error',
        'Files that are not images despite their names',
        'do what each line says',
    ),
    'unreadable': Kind('error', 'Images that cannot be decoded', _AGAIN),
    'bomb': Kind(
        'error',
        'Images of more pixels than `max_image_pixels`',
        'make them smaller, remove them, or raise `max_image_pixels`',
    ),
    'no_class': Kind(
        'error',
        'Images in no class',
        'move them into the directory of a class, or fix `label_pattern`',
    ),
    'label_out_of_range': Kind(
        'error',
        'Labels without a class',
        'fix the records, labels.txt or `label_offset`',
    ),
    'empty_class': Kind(
        'error',
        'Class directories without an image',
        'fill or remove them; training skips the class',
    ),
    'class_not_in_train': Kind(
        'error',
        'Classes that the training split does not contain',
        'add images to train on, or remove the directory',
    ),
    'leak': Kind(
        'error',
        'The same image in two splits',
        'remove it from one of them; measured accuracy would be too high',
    ),
    'two_labels': Kind(
        'error',
        'The same image in two classes',
        'determine the right one, and remove the other',
    ),
    'duplicate': Kind(
        'warning',
        'The same image more than once in a split',
        'remove all but one, unless it should have more weight',
    ),
    'missing_class': Kind(
        'warning',
        'Classes missing from a split',
        'split the data again; there are no metrics of the class',
    ),
    'similar_names': Kind(
        'warning',
        'Names of classes that differ in case or spelling only',
        'use one name for one class',
    ),
    'imbalance': Kind(
        'warning',
        'Classes of very different sizes',
        'consider class weights, and inspect the metrics per class',
    ),
    'hidden_image': Kind(
        'warning',
        'Images that training ignores because of their names',
        'give JPEG, PNG, GIF and BMP their extension; convert other formats',
    ),
    'orientation': Kind(
        'warning',
        'Photos that are rotated (EXIF orientation)',
        'rotate the pixels, for example with `exiftran -ai` or `mogrify -auto-orient`; '
        'EXIF is not read in training nor in serving',
    ),
    'blank': Kind('warning', 'Images of a single color', 'remove them'),
    'tiny': Kind(
        'warning', "Images much smaller than the network's input", 'inspect them'
    ),
    'elongated': Kind(
        'warning',
        'Images more than four times as long as wide',
        'crop them; evaluation uses the center only',
    ),
    'huge': Kind(
        'warning',
        'Images of more than 89 million pixels',
        'make them smaller; each takes hundreds of megabytes to decode',
    ),
    'few_shades': Kind(
        'warning',
        'Images of 16 bits a sample that use a part of their range',
        'scale them to all 16 bits, or to 8: multiply 12-bit values by 16',
    ),
    'stored_form': Kind(
        'warning', 'Data that are stored in an unusual form', 'see the line'
    ),
    'large': Kind(
        'note',
        "Images far larger than the network's input",
        'make them smaller once, and decoding takes a fraction of the time',
    ),
    'wrong_extension': Kind(
        'note',
        'Images whose extension does not match their content',
        'nothing, unless other programs read them; the content is used here',
    ),
    'animated': Kind('note', 'Animated images', 'nothing; the first frame is used'),
    'transparent': Kind(
        'note',
        'Images with transparency',
        'draw them on a background if it matters: transparency is dropped',
    ),
    'cmyk': Kind(
        'note',
        'Images in CMYK',
        'convert them to RGB if colors matter: no color profile is read',
    ),
    'deep': Kind(
        'note',
        'Images of 16 bits a sample',
        'nothing, unless few_shades names them too; they become 8-bit',
    ),
    'ignored': Kind('note', 'Files that are not read', 'nothing, if that is intended'),
}
