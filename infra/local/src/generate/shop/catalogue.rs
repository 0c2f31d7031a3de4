//! What the shop is made of: its pages, its four products, and the names that its events use for them.

/// A product on sale.
#[derive(Debug)]
pub(super) struct Product {
    /// Its `product_id`.
    pub(super) id: u64,
    /// Its page's address.
    pub(super) url: &'static str,
    /// The price of one, in the shop's currency.
    pub(super) price: f64,
    /// How much of the interest it draws, relative to the others.
    pub(super) appeal: f64,
}

/// The four products, by appeal.
pub(super) static PRODUCTS: [Product; 4] = [
    Product {
        id: 1,
        url: "http://shop.example/catalog/product/1",
        price: 9.99,
        appeal: 0.40,
    },
    Product {
        id: 2,
        url: "http://shop.example/catalog/product/2",
        price: 19.5,
        appeal: 0.30,
    },
    Product {
        id: 3,
        url: "http://shop.example/catalog/product/3",
        price: 49.0,
        appeal: 0.20,
    },
    Product {
        id: 4,
        url: "http://shop.example/catalog/product/4",
        price: 99.99,
        appeal: 0.10,
    },
];

/// A page of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    /// Where most visits start.
    Main,
    /// The list of products.
    Catalog,
    /// One product, by its index in [`PRODUCTS`].
    Product(usize),
    /// What was put aside to buy.
    Cart,
    /// The form to pay.
    Checkout,
    /// The thanks after it.
    Paid,
}

impl Page {
    /// The page's address.
    pub(super) fn url(self) -> &'static str {
        match self {
            Self::Main => "http://shop.example/main",
            Self::Catalog => "http://shop.example/catalog",
            Self::Product(index) => PRODUCTS[index].url,
            Self::Cart => "http://shop.example/cart",
            Self::Checkout => "http://shop.example/cart/checkout",
            Self::Paid => "http://shop.example/cart/checkout/paid",
        }
    }

    /// What events call the page in `obj_id`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Catalog => "catalog",
            Self::Product(_) => "product",
            Self::Cart => "cart",
            Self::Checkout => "checkout",
            Self::Paid => "paid",
        }
    }

    /// The `product_id` that events on the page carry: 0 unless it is a product's page.
    pub(super) fn product_id(self) -> u64 {
        match self {
            Self::Product(index) => PRODUCTS[index].id,
            Self::Main | Self::Catalog | Self::Cart | Self::Checkout | Self::Paid => 0,
        }
    }
}
