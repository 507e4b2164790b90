//! The macro that turns the table of methods into structs, the [`Method`](super::Method) enum and their codec.
//!
//! A row reads: variant of the enum, name of the struct (with `<'a>` when it borrows), id, name on the wire, `carries content`
//! where frames with a message follow, reserved fields in front `[..]`, the fields, reserved fields behind `[..]`. Reserved
//! fields exist on the wire only: they are written as zero or empty and skipped when read.

macro_rules! content_flag {
    () => {
        false
    };
    (content) => {
        true
    };
}

macro_rules! methods {
    ($(
        $(#[$class_doc:meta])*
        $class:ident = $class_id:literal {
            $(
                $(#[$doc:meta])*
                $variant:ident: $name:ident $(<$lt:lifetime>)? = $id:literal $wire:literal $(carries $content:ident)?
                [$($front:ty),*] { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? } [$($back:ty),*];
            )*
        }
    )*) => {
        $(
            $(#[$class_doc])*
            #[doc = concat!("\n\nClass ", stringify!($class_id), ".")]
            pub mod $class {
                #[allow(unused_imports, reason = "not every class has a table")]
                use crate::table::RawTable;
                use crate::error::DecodeError;
                #[allow(unused_imports, reason = "not every class has fields")]
                use crate::method::field::{Field, FieldReader, FieldWriter};
                use crate::method::{DecodeFields, WireMethod};

                $(
                    $(#[$doc])*
                    #[doc = concat!("\n\n`", stringify!($class), ".", $wire, "`, ", stringify!($class_id), ".",
                        stringify!($id), ".")]
                    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
                    pub struct $name $(<$lt>)? {
                        $(
                            $(#[$field_doc])*
                            #[doc = concat!("\n\nWire field `", stringify!($field), "`.")]
                            pub $field: $type,
                        )*
                    }

                    impl $(<$lt>)? WireMethod for $name $(<$lt>)? {
                        #[inline]
                        fn class_id(&self) -> u16 {
                            $class_id
                        }

                        #[inline]
                        fn method_id(&self) -> u16 {
                            $id
                        }

                        fn name(&self) -> &'static str {
                            concat!(stringify!($class), ".", $wire)
                        }

                        fn carries_content(&self) -> bool {
                            content_flag!($($content)?)
                        }

                        #[inline]
                        #[allow(unused_variables, unused_mut, reason = "some methods have no fields")]
                        fn encode_fields(&self, out: &mut Vec<u8>) {
                            let mut fields = FieldWriter::new(out);
                            $(<$front>::default().write(&mut fields);)*
                            $(self.$field.write(&mut fields);)*
                            $(<$back>::default().write(&mut fields);)*
                        }
                    }

                    impl<'f> DecodeFields<'f> for methods!(@at 'f $name $($lt)?) {
                        #[inline]
                        #[allow(unused_variables, unused_mut, reason = "some methods have no fields")]
                        fn decode_fields(bytes: &'f [u8]) -> Result<Self, DecodeError> {
                            let mut fields = FieldReader::new(bytes);
                            $(<$front>::read(&mut fields)?;)*
                            $(let $field = Field::read(&mut fields)?;)*
                            $(<$back>::read(&mut fields)?;)*
                            fields.finish()?;
                            Ok(Self { $($field),* })
                        }
                    }
                )*
            }
        )*

        /// Any method of any class, with its fields borrowed from the frame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Method<'a> {
            $($(
                #[doc = concat!("`", stringify!($class), ".", $wire, "`")]
                $variant($class::$name $(<$lt>)?),
            )*)*
        }

        impl<'a> Method<'a> {
            /// Class id, method id and name of every method there is.
            pub const ALL: &'static [(u16, u16, &'static str)] =
                &[$($(($class_id, $id, concat!(stringify!($class), ".", $wire)),)*)*];

            /// Decodes the fields of the method with these ids.
            pub fn decode_fields(class_id: u16, method_id: u16, fields: &'a [u8]) -> Result<Self, DecodeError> {
                match (class_id, method_id) {
                    $($(($class_id, $id) => DecodeFields::decode_fields(fields).map(Self::$variant),)*)*
                    _ => Err(DecodeError::UnknownMethod { class_id, method_id }),
                }
            }

            pub(super) fn inner(&self) -> &dyn WireMethod {
                match self {
                    $($(Self::$variant(method) => method,)*)*
                }
            }
        }

        $($(
            impl<'a> From<$class::$name $(<$lt>)?> for Method<'a> {
                fn from(method: $class::$name $(<$lt>)?) -> Self {
                    Self::$variant(method)
                }
            }
        )*)*
    };

    (@at $at:lifetime $name:ident $lt:lifetime) => {
        $name<$at>
    };
    (@at $at:lifetime $name:ident) => {
        $name
    };
}
